"""Words of the monthly report: Chinese, English."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "month_malformed": Text(
        "“{text}”不是月份。",
        "“{text}” is no month.",
        "写成 2026-10 的样子。",
        "Write it like 2026-10.",
    ),
    "month_running": Text(
        "{month} 还没有结束。",
        "{month} is not over yet.",
        "月份结束后再上报；月报须在其后 10 个工作日内送达。",
        "Report it once it is over; it is due within ten working days after that.",
    ),
    "monthly_report_given": Text(
        "月报的补充内容不对：{reason}",
        "What was given for the monthly report cannot be right: {reason}",
        "按 docs/reporting.zh-CN.md“月报”一节的样例改正该 JSON 文件。",
        "Correct the JSON file after the example under “The monthly report” in docs/reporting.md.",
    ),
    "monthly_report_file": Text(
        "月报的补充文件 {path} 无法读取：{reason}。",
        "The file for the monthly report {path} cannot be read: {reason}.",
        "按 docs/reporting.zh-CN.md“月报”一节的样例改正该 JSON 文件。",
        "Correct the JSON file after the example under “The monthly report” in docs/reporting.md.",
    ),
}

LABELS: dict[str, tuple[str, str]] = {
    "month_title": ("二级节点运行月报 {month}", "Monthly report of the secondary node, {month}"),
    "month_node": ("二级节点前缀", "Secondary prefix"),
    "month_operator": ("运营单位", "Operator"),
    "month_due": ("报送期限", "Due"),
    "month_made": ("编制日期", "Made on"),
    "month_sla": ("一、服务水平（近六个月）", "1. Service level, six months"),
    "month_month": ("月份", "Month"),
    "month_mean": ("平均", "Mean"),
    "month_registerAvgMs": ("登记往返时间（毫秒）", "Registration RTT (ms)"),
    "month_resolveAvgMs": ("解析往返时间（毫秒）", "Resolution RTT (ms)"),
    "month_effectiveHours": ("登记生效时间（小时）", "Registration effective time (h)"),
    "month_registerAvgMs_is": (
        "完成登记的 HTTP 请求从请求头到应答的平均耗时，在登记服务内计时；不含文件导入。",
        "Mean time from the head of an HTTP request that registered to its answer, in the registry; without imports.",
    ),
    "month_resolveAvgMs_is": (
        "统计进程每分钟查询各托管前缀的一个标识，从发出问题到收完应答的平均耗时。",
        "Mean time from question to answer of what the agent asks every minute, one identifier of each hosted prefix.",
    ),
    "month_effectiveHours_is": (
        "当月首次启用的企业前缀，从本节点批准到可以解析的平均小时数。",
        "Mean hours from our approval until it could be resolved, over enterprise prefixes first enabled in the month.",
    ),
    "month_hours_is": (
        "解析服务：统计进程每分钟一次的询问都得到应答的时长。登记服务由运营单位填报。",
        "Resolution: the time in which every round of the agent, one a minute, was answered. Registration is given by"
        " the operator.",
    ),
    "month_operating": ("二、运行时长", "2. Hours of operation"),
    "month_service": ("服务", "Service"),
    "month_hours": ("运行小时", "Hours in service"),
    "month_of": ("当月小时", "Hours of the month"),
    "month_resolution": ("解析服务", "Resolution"),
    "month_registration": ("登记服务", "Registration"),
    "month_maintenance": ("三、系统维护", "3. Maintenance"),
    "month_emergencies": ("四、应急事件", "4. Emergencies"),
    "month_remarks": ("五、其他说明", "5. Remarks"),
    "month_definitions": ("指标口径", "Definitions"),
    "month_from": ("开始", "From"),
    "month_to": ("结束", "To"),
    "month_what": ("内容", "What"),
    "month_none": ("无", "None"),
    "month_not_given": ("未填报", "Not given"),
    "month_not_measured": ("未测得", "Not measured"),
}
