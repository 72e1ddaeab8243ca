"""Statistics: what the counters count, and what the log is known to lack."""

from schemas.texts.table import Text

_CHECK_ZH = "用 idnode stats recompute --day 日期 可由日志和标识历史重新计算并核对。"
_CHECK_EN = "idnode stats recompute --day D computes it again from the log and the records' history."
_REBUILD_EN = "The figures that were counted stand; name the gap where they are reported."
_REBUILD_ZH = "已计入的数字有效；上报这些数字时请注明该缺口。"

TEXTS: dict[str, Text] = {
    "counter_registered_new": Text(
        "期内新注册的标识数：首次成功创建（单个、批量、导入，以及号段的每个成员）；失败、重复、更新、恢复不计。",
        "Identifiers first created in the period: singly, in batches, from files, and every member of a range;"
        " not failures, repetitions, updates or restorations.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_range_minted": Text(
        "新注册标识中属于号段成员的部分。",
        "Those of the new identifiers that are members of ranges.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_registered_total": Text(
        "截至期末累计注册的标识数；注销不减少。",
        "Identifiers ever created, up to the end of the period; retiring takes nothing away.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_registered_live": Text(
        "截至期末存量标识数：累计注册减去已注销；冻结的仍计入。",
        "Identifiers created and not retired, at the end of the period; frozen ones are among them.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_retired_total": Text(
        "截至期末处于注销状态的标识数。",
        "Identifiers that are retired at the end of the period.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions": Text(
        "解析量：对本节点标识的每一次已答复的查询，无论是否找到；自查、探测和沙箱流量除外。",
        "Answered questions about identifiers of this node, found or not; not those of owners, probes and sandboxes.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_ok": Text(
        "成功解析量：答复中至少有一个值，或给出了有效转介。",
        "Resolutions answered with at least one value or a valid referral.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_uncounted": Text(
        "不计入解析量、单独列出的查询：所有者自查、探测；沙箱不在其内。",
        "Answered questions of owners and probes, shown apart from resolutions; sandboxes are in neither.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_foreign": Text(
        "对不属于本节点的前缀的查询，单独列出。",
        "Answered questions about prefixes that are not of this node, shown apart.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_enterprises_connected": Text(
        "接入企业数：截至期末至少有一个启用前缀的不同统一社会信用代码的数目，按接入日期计。",
        "Distinct social credit codes with at least one enabled prefix, by the day on which they were connected.",
        "接入日期见 idnode enterprise show。",
        "idnode enterprise show tells the day.",
    ),
    "statistics_grouping_unknown": Text(
        "不能按“{by}”统计。",
        "There are no statistics by “{by}”.",
        "可选：{groupings}。",
        "Choose one of {groupings}.",
    ),
    "statistics_level_unknown": Text(
        "国民经济行业分类没有第 {level} 级。",
        "The classification of industries has no level {level}.",
        "请选择 1（门类）、2（大类）、3（中类）或 4（小类）。",
        "Choose 1 (section), 2 (division), 3 (group) or 4 (class).",
    ),
    "statistics_period_reversed": Text(
        "统计期的首日 {first} 晚于末日 {last}。",
        "The period begins on {first}, after its end on {last}.",
        "请交换两个日期。",
        "Exchange the two days.",
    ),
    "log_gap_no_room": Text(
        "{from_at} 至 {to_at} 磁盘已满，{missing} 次解析未能记入日志（分段 {segment}）。",
        "The disk was full from {from_at} to {to_at}: {missing} answers were not logged (segment {segment}).",
        "请清理磁盘；" + _REBUILD_ZH,
        "Make room on the disk. " + _REBUILD_EN,
    ),
    "log_gap_damaged": Text(
        "解析日志分段 {segment} 自 {from_at} 之后损坏（{details}），其后的记录无法读出。",
        "Segment {segment} of the resolution log is damaged after {from_at} ({details}); the rest cannot be read.",
        "请检查磁盘；该文件保留备查。" + _REBUILD_ZH,
        "Check the disk; the file is kept. " + _REBUILD_EN,
    ),
    "log_gap_lost": Text(
        "解析日志分段 {segment}（{from_at} 至 {to_at}）的文件已不存在；其中 {missing} 次解析此前已计入。",
        "The file of segment {segment} ({from_at} to {to_at}) is gone; {missing} answers of it had been counted.",
        "如有副本请放回日志目录。" + _REBUILD_ZH,
        "Put a copy back into the log directory if there is one. " + _REBUILD_EN,
    ),
    "log_gap_purged_for_room": Text(
        "因磁盘已满，已计数的解析日志分段 {segment}（{from_at} 至 {to_at}，{missing} 次解析）被提前清除。",
        "The disk was full: segment {segment} ({from_at} to {to_at}, {missing} answers, all counted) was purged early.",
        "请清理磁盘；法规要求日志留存六个月。",
        "Make room on the disk; the law wants the log kept for six months.",
    ),
}
