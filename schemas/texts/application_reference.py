"""The sentences of the API reference about applications in Chinese, by their English in the OpenAPI document."""

APPLICATIONS: dict[str, str] = {
    "applications": "应用",
    "List applications": "列出应用",
    "Of one's own prefixes, by prefix and name; they are reported upwards on the first day of each month.": (
        "自己前缀下的应用，按前缀和名称排列；每月一日上报。"
    ),
    "Register an application": "登记应用",
    "200 if it is there with the same details; 409 if another one of the prefix has that name.": (
        "内容相同且已存在时返回 200；同一前缀下另有同名应用时返回 409。"
    ),
    "Read an application": "读取应用",
    "With who wrote it last.": "含最后修改人。",
    "Change an application": "修改应用",
    "All its details; its prefix stays.": "替换全部内容；前缀不变。",
    "Retire an application": "停用应用",
    "It is reported no more; its name may be used again.": "不再上报；名称可重新使用。",
    "Those of this prefix alone.": "只列出该前缀的应用。",
    "Retired ones, too.": "包含已停用的。",
    "What is told of an application; unknown members are refused. `recursion`: the recursive node it asks.": (
        "应用的内容；多余字段会被拒绝。`recursion`：所用的递归节点。"
    ),
    "`prefix`: that of the enterprise, or a secondary prefix for an application of the node itself.": (
        "`prefix`：企业的前缀；节点自有应用则为二级节点前缀。"
    ),
    "`users` null: not known. `retired` null: it is reported.": "`users` 为空：不清楚。`retired` 为空：正常上报。",
    "At most 1,000; `month` is the one that was reported last, null if none was.": (
        "最多 1,000 个；`month` 为最近上报的月份，尚未上报则为空。"
    ),
}
