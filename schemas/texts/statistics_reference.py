"""Sentences of the API reference in Chinese: statistics and closed days."""

STATISTICS: dict[str, str] = {
    "Registrations and resolutions of a period": "一段时间的登记量和解析量",
    "Days are those at UTC+8, the running day included. The header Statistics-Status says if they are sealed.": (
        "日期按 UTC+8，含正在进行的一天。应答头 Statistics-Status 说明数字是暂定（provisional）还是已封存（sealed）。"
    ),
    "The same as a table that explains itself": "同样的数字，附说明的表",
    "With period, time, seal, definitions, sums, and whether these sum to the figures of the whole.": (
        "附统计期、数据时点、封印、口径、合计，以及合计是否与总数相符。"
    ),
    "The same as a file": "同样的数字，导出为文件",
    "CSV (UTF-8 with a byte order mark), XLSX, PDF or JSON, each with definitions, period, time, seal and check.": (
        "UTF-8（带 BOM）的 CSV、XLSX、PDF 或 JSON；每个文件都写明口径、统计期、数据时点、封印和合计核对。"
    ),
    "The sums of a period": "一段时间的合计",
    "With states as they are at its end.": "状态以期末为准。",
    "What each counter counts": "各项指标的定义",
    "In the caller's language.": "按调用者的语言。",
    "Closed days with their seals": "已封账的日期和封印",
    "Revision 1 is the sealed figure; later ones say why. For those who see all figures.": (
        "第 1 版是封存的数字，其后各版说明原因。仅限可见全部数字的账户。"
    ),
    "What was stated of one day": "某一天的封账内容",
    "The last statement on every prefix, and the sealed one where it was another.": (
        "每个前缀最后一次封账的数字；与最初封存的不同时一并列出。"
    ),
    "What a row stands for.": "每一行代表什么。",
    "First day; since the beginning if left out.": "起始日期；不填则自最早一天起。",
    "Last day; today if left out.": "截止日期；不填则为今天。",
    "Of `industry` 1 to 4, section to class; of `area` 1 to 3, province to county.": (
        "`industry` 为 1 至 4（门类到小类），`area` 为 1 至 3（省到县区）。"
    ),
    "As `level`, of industries.": "同 `level`，用于行业。",
    "Only this division and what lies below it.": "只看该行政区划及其下级。",
    "Only this industry and what lies below it.": "只看该行业及其下级。",
    "Only this unit.": "只看该上报单位。",
    "As it was known then (without an offset at UTC+8); now if left out.": "按当时所知（不写时区即 UTC+8），默认现在。",
    # Plans
    "plans": "计划",
    "List plans": "列出计划",
    "In the order in which they were loaded first; `targets`: how many of them the caller sees.": (
        "按首次载入的顺序；`targets` 为调用者可见的目标数。"
    ),
    "Load a plan": "载入计划",
    "All targets or none: 200 if nothing changed, or if a row was refused; `refused` says why.": (
        "全部写入或全部不写：没有变化或有行被拒绝时返回 200，`refused` 说明原因。"
    ),
    "Targets against actual figures": "目标与实际",
    "A target whose deadline has passed is ended and shows the figure of that day; others have a forecast.": (
        "期限已过的目标为已结束，显示期限当日的数字；其余的附预测。"
    ),
    "The firms behind a figure": "数字背后的企业",
    "Of a target the node measures; the largest figure first.": "仅限节点计量的目标；数字大的在前。",
    "The sheet of the annex as a file": "附件表，导出为文件",
    "Its units in its order with totals; it names day, status, seal, definitions and checks of sums.": (
        "按附件的单位和顺序，含合计；写明日期、性质、封印、口径和合计核对。"
    ),
    "Enter a figure by hand": "人工录入数字",
    "Of an indicator the node does not measure; author and time are kept, and so is what was entered before.": (
        "仅限节点不计量的指标；记下录入人和时间，此前录入的也保留。"
    ),
    "As it stood at the end of that day; today if left out.": "该日结束时的情况；不填则为今天。",
    "As the plan names it.": "计划中的名称。",
}
