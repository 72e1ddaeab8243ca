"""Plans: names of indicators, words of tables and pages, and what can be wrong with a file of targets."""

from schemas.texts.table import Text

# Indicators people use, beside the counters of the statistics: Chinese, English.
INDICATORS: dict[str, tuple[str, str]] = {
    "enterprises_newly_connected": ("新接入企业数", "Enterprises newly connected"),
    "identifiers_registered": ("标识注册量", "Identifiers registered"),
    "benchmark_sites": ("标杆数", "Benchmark sites"),
    "intelligent_renovation_projects": ("智能化技术改造项目数", "Intelligent renovation projects"),
    "green_projects": ("绿色化改造项目数", "Green projects"),
}
COUNTED_IN: dict[str, tuple[str, str]] = {
    "enterprises": ("家", "enterprises"),
    "identifiers": ("个", "identifiers"),
    "sites": ("个", "sites"),
    "projects": ("个", "projects"),
    "resolutions": ("次", "resolutions"),
}

LABELS: dict[str, tuple[str, str]] = {
    "plan": ("计划", "Plan"),
    "area": ("单位", "Unit"),
    "indicator": ("指标", "Indicator"),
    "target": ("目标", "Target"),
    "actual": ("实际", "Actual"),
    "met": ("达成", "Met"),
    "yes": ("是", "yes"),
    "no": ("否", "no"),
    "not_measured": ("未计量", "not measured"),
    "not_begun": ("未开始", "not begun"),
    "of_day": ("截至日期", "As of day"),
    "deadline": ("期限", "Deadline"),
    "state": ("状态", "State"),
    "state_running": ("进行中", "running"),
    "state_ended": ("已结束", "ended"),
    "state_not_begun": ("未开始", "not begun"),
    "source": ("来源", "Source"),
    "source_measured": ("节点计量", "measured by the node"),
    "source_entered": ("{actor} 于 {at} 录入", "entered by {actor} on {at}"),
    "source_summed": ("各单位录入值之和", "sum of what was entered for the units"),
    "source_none": ("未计量", "not measured"),
    "forecast": ("预测", "Forecast"),
    "forecast_linear_30": ("按最近 30 天线性外推", "linear, from the last 30 days"),
    "forecast_linear_90": ("按最近 90 天线性外推", "linear, from the last 90 days"),
    "units_sum": ("各单位合计", "Units together"),
    "elsewhere": ("未归属上列单位", "In none of these units"),
    "since_beginning": ("自始", "since the beginning"),
    "period": ("统计期", "Period"),
    "other_targets": ("其他目标", "Other targets"),
    "sum_check": ("各单位合计核对", "Check of the units' sums"),
    "sum_holds": ("各单位目标之和与全区目标一致", "the units' targets sum to the district's"),
    "sum_differs": (
        "各单位目标之和为 {units}，全区目标为 {district}",
        "the units' targets sum to {units}, the district's is {district}",
    ),
    "annex": ("附件", "Annex"),
    "plan_loaded": ("计划“{name}”已载入 {count} 项目标", "Plan {name} loaded: {count} targets"),
    "plan_unchanged": ("计划“{name}”没有变化，共 {count} 项目标", "Plan {name} is unchanged: {count} targets"),
    "plan_not_written": ("有 {count} 行被拒绝，未写入任何内容", "{count} rows were refused; nothing was written"),
    "plan_entered": ("已录入 {area} {indicator} = {value}（{day}）", "Entered {area} {indicator} = {value} ({day})"),
    "no_plans": (
        "尚无计划；用 idnode plan load 文件 --name 名称 载入",
        "There are no plans; idnode plan load FILE --name N loads one",
    ),
    "wrote": ("已写入 {path}", "Wrote {path}"),
}

TEXTS: dict[str, Text] = {
    "plan_not_found": Text(
        "没有名为“{name}”的计划。",
        "There is no plan “{name}”.",
        "请在计划列表中核对名称。",
        "The list of plans shows those there are.",
    ),
    "plan_name": Text(
        "计划名称“{name}”不可用。",
        "{name} cannot be the name of a plan.",
        "请用 1 至 80 个可见字符，不含斜杠。",
        "Use 1 to 80 visible characters and no slash.",
    ),
    "plan_exists": Text(
        "计划“{name}”已存在，内容与文件不同。",
        "There is a plan {name} with other targets.",
        "换一个名称，或用 --replace（接口为 replace）替换目标；已录入的数字会保留。",
        "Choose another name, or --replace (in the API: replace) the targets; what was entered by hand stays.",
    ),
    "plan_empty": Text(
        "文件中没有一行目标。",
        "There is not one target in it.",
        "请至少给出一行目标。",
        "Give at least one row.",
    ),
    "plan_header_not_found": Text(
        "没有找到表头：前 50 行中没有计划的列名。",
        "No header was found: none of the first 50 rows has the columns of a plan.",
        "需要的列：area、indicator、comparison、unit、period_start、deadline、target，见 docs/statistics.zh-CN.md；"
        "文本文件应以半角逗号、分号或制表符分隔，编码为 UTF-8 或 GB18030。",
        "Needed are area, indicator, comparison, unit, period_start, deadline, target, as in docs/statistics.md; in a"
        " text file commas, semicolons or tabs part the columns, and it is UTF-8 or GB18030.",
    ),
    "plan_file_column": Text(
        "第 {row} 行的表头缺少“{column}”列。",
        "The header in row {row} has no column “{column}”.",
        "需要的列：area、indicator、comparison、unit、period_start、deadline、target。",
        "Needed are area, indicator, comparison, unit, period_start, deadline, target.",
    ),
    "plan_file_too_long": Text(
        "文件超过 {limit} 行。",
        "There are more than {limit} rows.",
        "请分成几个计划。",
        "Make several plans of it.",
    ),
    "plan_comparison": Text(
        "“{text}”不是比较方式。",
        "“{text}” is no comparison.",
        "请写 >=（不少于）或 >（超过）。",
        "Write >= (at least) or > (more than).",
    ),
    "plan_number": Text(
        "“{text}”不是非负整数。",
        "“{text}” is not a whole number of 0 or more.",
        "请写成 66 或 100000000。",
        "Write it as 66 or 100000000.",
    ),
    "plan_indicator": Text(
        "“{text}”不能作为指标名称。",
        "“{text}” cannot name an indicator.",
        "请用小写字母、数字和下划线，例如 benchmark_sites，或统计口径中的指标。",
        "Use small letters, digits and underscores, such as benchmark_sites, or a counter of the definitions.",
    ),
    "plan_period": Text(
        "起始日期 {first} 晚于期限 {last}。",
        "The period begins on {first}, after its deadline {last}.",
        "请交换两个日期。",
        "Exchange the two days.",
    ),
    "plan_row_double": Text(
        "与第 {row} 行是同一单位、指标和期限。",
        "Row {row} has the same unit, indicator and deadline.",
        "请删去其中一行。",
        "Take one of them out.",
    ),
    "plan_row_short": Text(
        "“{column}”为空。",
        "“{column}” is empty.",
        "请填写。",
        "Fill it in.",
    ),
    "plan_area": Text(
        "“{area}”既不是行政区划，也不是已登记的乡镇或园区。",
        "“{area}” is neither a division nor a town or park the node knows.",
        "请先在控制台“地区与标签”中登记它，或先载入企业名单；命令行可用 --add-units 区划代码（接口为 add_units_in）。",
        "Add it under “Areas and tags” of the console, or import the firms first; a command takes --add-units CODE, the"
        " API add_units_in.",
    ),
    "plan_target_not_found": Text(
        "计划“{name}”中没有 {area} 的指标 {indicator}。",
        "Plan {name} has no target of {area} for {indicator}.",
        "请在该计划的各项目标中核对。",
        "The plan itself lists its targets.",
    ),
    "plan_indicator_measured": Text(
        "指标 {indicator} 由节点计量，不能录入。",
        "The node measures {indicator}; it cannot be entered.",
        "数字有误时请核对企业的接入日期和登记记录。",
        "If the figure is wrong, check the days of connection and the registrations.",
    ),
    "plan_indicator_by_hand": Text(
        "指标 {indicator} 由人工录入，节点没有对应的企业清单。",
        "{indicator} is entered by hand: the node knows no firms behind it.",
        "请向录入人核实。",
        "Ask whoever entered it.",
    ),
    "plan_entry_before": Text(
        "{day} 早于统计期起始日期 {first}。",
        "{day} lies before the period, which begins on {first}.",
        "请填写统计期内的日期。",
        "Give a day within the period.",
    ),
    "plans_not_for_enterprises": Text(
        "企业账户不能查看计划。",
        "Enterprises see no plans.",
        "企业自身的数字见“统计”页。",
        "Your own figures are on the page Statistics.",
    ),
    "annex_format_unknown": Text(
        "不能导出为“{file}”。",
        "Cannot export to “{file}”.",
        "文件名请以 .csv、.xlsx 或 .pdf 结尾。",
        "Let the name end with .csv, .xlsx or .pdf.",
    ),
}
