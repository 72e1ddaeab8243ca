"""Applications that use identifiers, and enterprises' own nodes: what commands and pages of the console say."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "application_exists": Text(
        "前缀 {prefix} 下已有名为“{name}”的应用。",
        "There is an application “{name}” under {prefix}.",
        "请换一个名称，或修改已有的应用。",
        "Choose another name, or change the one there is.",
    ),
    "application_not_found": Text(
        "没有编号为 {number} 的应用。",
        "There is no application {number}.",
        "编号见应用列表。",
        "The list of applications shows the numbers.",
    ),
    "application_retired": Text(
        "应用“{name}”已停用。",
        "The application “{name}” was retired.",
        "需要时请重新登记。",
        "Register it anew if it is needed.",
    ),
    "application_missing": Text(
        "“{field}”必须填写。",
        "“{field}” must be filled in.",
        "请补充；填写了递归节点时，其地址和端口也要填写。",
        "Fill it in; a recursive node is given with its address and its port.",
    ),
    "application_malformed": Text(
        "“{field}”的格式不对。",
        "“{field}” is not written as it must be.",
        "数字只写数字，地址写 IPv4 或 IPv6。",
        "Write numbers in digits, and an address as IPv4 or IPv6.",
    ),
    "application_too_long": Text(
        "“{field}”超过 {most} 个字符。",
        "“{field}” has more than {most} characters.",
        "请缩短。",
        "Make it shorter.",
    ),
    "application_too_many": Text(
        "前缀 {prefix} 下已有 {most} 个应用。",
        "There are {most} applications under {prefix}.",
        "请停用不再使用的应用。",
        "Retire those that are used no more.",
    ),
}

LABELS: dict[str, tuple[str, str]] = {
    "application_added": ("已登记应用 {application_id}：{name}", "Application {application_id} registered: {name}"),
    "application_known": ("应用 {application_id} 没有变化：{name}", "Application {application_id} unchanged: {name}"),
    "application_changed": ("已修改应用 {application_id}：{name}", "Application {application_id} changed: {name}"),
    "application_gone": ("已停用应用 {application_id}：{name}", "Application {application_id} retired: {name}"),
    "application_none": ("尚无应用", "There are no applications"),
    "monitor_none": ("没有测得任何数字", "Nothing was measured"),
    "application_queued": ("{month} 的应用：{count} 份报文待发送", "Applications of {month}: {count} messages wait"),
}  # fmt: skip

PAGES: dict[str, tuple[str, str]] = {
    "applications": ("应用", "Applications"),
    "applications_text": (
        "使用标识的应用：每月一日随本节点报表上报。",
        "Applications that use identifiers. They are reported upwards on the first of each month.",
    ),
    "applications_told": ("{month} 的清单已上报；此后的变化下月一日上报。",
                          "The list of {month} was reported; what changes now follows on the first of next month."),
    "applications_untold": ("尚未上报过。", "Nothing was reported yet."),
    "applications_tell": ("立即上报", "Report now"),
    "applications_none": ("尚无应用", "No applications yet"),
    "applications_none_text": (
        "登记您的扫码小程序、网页或客户端，上级节点据此了解标识的用途。",
        "Register your mini programs, pages and clients: they tell the node above what identifiers are used for.",
    ),
    "application": ("应用", "Application"),
    "application_new": ("登记应用", "Register an application"),
    "application_edit": ("修改应用", "Change the application"),
    "application_name": ("名称", "Name"),
    "application_prefix": ("前缀", "Prefix"),
    "application_of_node": ("{prefix}（本节点）", "{prefix} (this node)"),
    "application_kind": ("类型", "Kind"),
    "application_kind_app": ("手机应用", "App"),
    "application_kind_mini_program": ("小程序", "Mini program"),
    "application_kind_web": ("网页", "Web page"),
    "application_kind_pc": ("电脑客户端", "PC client"),
    "application_kind_other": ("其他", "Other"),
    "application_intro": ("简介", "What it does"),
    "application_users": ("用户数", "Users"),
    "application_users_hint": ("不清楚时留空，不要填 0。", "Leave it empty if you do not know; 0 means none."),
    "application_developer": ("开发单位", "Developer"),
    "application_recursion": ("使用的递归节点", "Recursive node"),
    "application_recursion_hint": ("应用解析标识时访问的递归节点名称。", "The node it asks when it resolves."),
    "application_recursion_ip": ("递归节点 IP 地址", "Its IP address"),
    "application_recursion_port": ("递归节点端口", "Its port"),
    "application_changed_at": ("最后修改", "Changed"),
    "application_save": ("保存", "Save"),
    "application_retire": ("停用应用", "Retire the application"),
    "application_retire_text": (
        "停用后不再上报，名称可重新使用；记录保留。",
        "It is reported no more and its name is free again; the record stays.",
    ),
    "application_without_retired": ("不含已停用的", "Without retired ones"),
    "application_with_retired": ("包含已停用的", "With retired ones"),
    "application_is_retired": ("已停用", "retired"),
    "application_is_live": ("使用中", "in use"),
    "done_application_added": ("应用已登记。", "The application is registered."),
    "done_application_changed": ("应用已修改。", "The application is changed."),
    "done_application_retired": ("应用已停用。", "The application is retired."),
    "done_applications_told": ("清单已放入发件箱。", "The list is in the outbox."),
}  # fmt: skip
