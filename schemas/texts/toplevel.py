"""Reports to the top-level node: the rules of TLN-1 in words, and what the outbox and the rehearsal node say."""

from schemas.texts.table import Text

_ROW_ZH = "改正该行数据，节点会自动以下一修订版重新上报。"
_ROW_EN = "Correct what the row is made from; the node reports it again as the next revision by itself."
_MESSAGE_ZH = "请核对上报方的程序版本与 TLN-1 的规定（docs/reporting.zh-CN.md）。"
_MESSAGE_EN = "Compare the reporting program with the contract (docs/reporting.md)."
_KEY_ZH = "请核对 IDNODE_TOPLEVEL_APP、上级节点登记的公钥和本机时钟；idnode toplevel key 显示公钥。"
_KEY_EN = "Compare IDNODE_TOPLEVEL_APP, the public key known above and the clock; idnode toplevel key shows the key."


def _row(zh: str, en: str) -> Text:
    return Text(zh, en, _ROW_ZH, _ROW_EN)


def _message(zh: str, en: str) -> Text:
    return Text(zh, en, _MESSAGE_ZH, _MESSAGE_EN)


def _trust(zh: str, en: str) -> Text:
    return Text(zh, en, _KEY_ZH, _KEY_EN)


TEXTS: dict[str, Text] = {
    "tln_e101": _row("缺少必填项“{field}”。", "The column “{field}” is missing."),
    "tln_e102": _row("“{field}”的格式不对。", "“{field}” has not the form it must have."),
    "tln_e103": _row("“{field}”过长。", "“{field}” is too long."),
    "tln_e104": _message("报文无法读取（{field}）。", "The message cannot be read ({field})."),
    "tln_e105": _message("该地址不接收这张表（{field}）。", "This address takes no such table ({field})."),
    "tln_e106": _message("不认识这个表结构版本（{field}）。", "This version of the tables is not known ({field})."),
    "tln_e107": _message("统计期“{field}”的写法不对。", "The period ({field}) is not written as it must be."),
    "tln_e108": _message("分片号或修订号不对（{field}）。", "The numbers of parts or revision are wrong ({field})."),
    "tln_e109": _row("同一报文里有两行“{field}”相同。", "Two rows of one message have the same “{field}”."),
    "tln_e110": _message("一个报文的行数超过上限（{field}）。", "One message has more rows than allowed ({field})."),
    "tln_e201": _trust("请求头 {field} 缺失或无法读取。", "The header {field} is missing or cannot be read."),
    "tln_e202": _trust("不支持的签名算法（{field}）。", "The algorithm is not one of the contract ({field})."),
    "tln_e203": _trust("时钟相差超过 300 秒（{field}）。", "The clocks are more than 300 seconds apart ({field})."),
    "tln_e204": _trust("随机数重复，疑为重放（{field}）。", "The nonce was used before: a replay ({field})."),
    "tln_e205": _trust("摘要与报文不符（{field}）。", "The digest is not that of the body ({field})."),
    "tln_e206": _trust("签名不对（{field}）。", "The signature is wrong ({field})."),
    "tln_e207": _trust("未登记的应用（{field}）。", "This app is not enrolled ({field})."),
    "tln_e208": _trust("该公钥未登记或已停用（{field}）。", "This key is not enrolled or was retired ({field})."),
    "tln_e209": _trust("该应用已登记另一公钥（{field}）。", "The app is enrolled with another key ({field})."),
    "tln_e301": _message("该前缀不由这个应用上报（{field}）。", "This app does not report for the prefix ({field})."),
    "tln_e302": _row("“{field}”不在本二级节点之下。", "“{field}” does not stand below this secondary node."),
    "tln_e303": _message("报文与请求头的前缀不同（{field}）。", "Message and header differ in the prefix ({field})."),
    "tln_e401": _message("同一幂等键用于不同报文（{field}）。", "The key was used for another message ({field})."),
    "tln_e403": _message("同一修订号的内容不同（{field}）。", "The same revision came with other content ({field})."),
    "tln_e404": _row("“{field}”已分配给另一企业。", "“{field}” was given to another enterprise."),
    "tln_e501": _row("成功数大于解析数（{field}）。", "More resolutions succeeded than were asked ({field})."),
    "tln_e502": _row("各来源之和加其他不等于解析数（{field}）。", "Sources and others do not sum to all ({field})."),
    "tln_e503": _row("累计注册量小于当日新增（{field}）。", "Less is registered in all than on the day ({field})."),
    "tln_e504": _row("累计企业前缀数小于当日新增（{field}）。", "Fewer prefixes in all than on the day ({field})."),
    "tln_e505": _row("行的日期与统计期不同（{field}）。", "The row is of another day than the message ({field})."),
    "tln_e506": _row("统一社会信用代码校验不通过（{field}）。", "The social credit code does not check ({field})."),
    "tln_e508": _row("缺少实名核验结果（{field}）。", "The result of the real-name check is missing ({field})."),
    "tln_e509": _row("号段的首末标识与数量不符（{field}）。", "First, last and count of a range differ ({field})."),
    "tln_e511": _row("来源超过 1000 个（{field}）。", "More than 1,000 sources ({field})."),
    "tln_e512": _row("地址与 IP 类型不符（{field}）。", "The address is not of the type given ({field})."),
    "tln_e513": _row("路由没有任何协议端口（{field}）。", "The route has no port of any protocol ({field})."),
    "tln_e514": _message("统计期尚未开始（{field}）。", "The period has not begun ({field})."),
    "tln_e515": _row("最小、平均、最大值次序不对（{field}）。", "Least, mean, greatest are out of order ({field})."),
    "tln_e516": _row("“{field}”不在统计日内。", "“{field}” is not within the day."),
    "tln_e517": _row("月报应含截至当月的六个月（{field}）。", "It must have six months up to its own ({field})."),
    "tln_e518": _row("运行时长不对（{field}）。", "The hours of operation cannot be right ({field})."),
    "tln_e519": _row("“{field}”须写明起止时刻和内容。", "“{field}” needs from, to and what of each entry."),
    "tln_e520": _message("所附文件与说明不符（{field}）。", "The file is not the one that is described ({field})."),
    "tln_e521": _message("月报超过 10 MB（{field}）。", "The report is larger than 10 MB ({field})."),
    "tln_e599": _row("按演练设置退回（{field}）。", "Refused because the rehearsal node was told to ({field})."),
    "tln_e601": _message("没有这一项（{field}）。", "There is no such thing here ({field})."),
    "tln_e602": _row("与上级节点所存不同（{field}）。", "What the node above has is not the same ({field})."),
    "outbox_body_gone": Text(
        "{table} {period} 的报文早已送达，内容不再保留。",
        "The message {table} {period} arrived long ago; its content is no longer kept.",
        "用 idnode report --day 日期 由现有数据重新生成。",
        "Make it again from the data with idnode report --day D.",
    ),
    "outbox_replaced": Text(
        "第 {number} 号报文已被修订版 {revision} 取代。",
        "Message {number} was replaced by revision {revision}.",
        "请重试最新的修订版。",
        "Retry the newest revision.",
    ),
    "outbox_not_waiting": Text(
        "第 {number} 号报文的状态是“{state}”，无需重试。",
        "Message {number} is “{state}”; there is nothing to retry.",
        "结果见其回执。",
        "Its receipt says what came of it.",
    ),
    "outbox_unknown": Text(
        "没有第 {number} 号报文。",
        "There is no message {number}.",
        "编号见报文列表。",
        "The list of messages shows the numbers.",
    ),
    "toplevel_not_set": Text(
        "没有设置上级节点：演练节点已关闭，也没有设置 IDNODE_TOPLEVEL_URL。",
        "There is no top-level node: the rehearsal one is off, and IDNODE_TOPLEVEL_URL is not set.",
        "设置 IDNODE_TOPLEVEL_URL，或用 IDNODE_TOPLEVEL_REHEARSAL=true 打开演练节点。",
        "Set IDNODE_TOPLEVEL_URL, or IDNODE_TOPLEVEL_REHEARSAL=true for the rehearsal node.",
    ),
    "toplevel_day_running": Text(
        "{day} 还没有结束。",
        "{day} is not over yet.",
        "加 --provisional 上报到目前为止的数字，第二天会由正式数字修订。",
        "Report what is known so far with --provisional; the final figures revise it the next day.",
    ),
    "toplevel_task_day_running": Text(
        "{day} 还没有结束，正式数字尚未产生。",
        "{day} is not over yet: there are no final figures to report or correct.",
        "次日零点五分（UTC+8）封账后，正式数字自动上报，请届时再提出要求；当天已报过的暂定数字可用 resend 任务重报。",
        "The day is closed at 00:05 (UTC+8) and its final figures go by themselves: ask again then. Provisional figures"
        " that were reported already go again by a task of the kind resend.",
    ),
    "toplevel_day_ahead": Text(
        "{day} 还没有到。",
        "{day} has not begun.",
        "请给出今天或更早的日期。",
        "Name today or an earlier day.",
    ),
    "toplevel_key_broken": Text(
        "上报签名密钥 {key} 无法用本节点的密钥文件打开。",
        "The signing key {key} cannot be opened with this node's key file.",
        "恢复与数据库同时备份的密钥文件（IDNODE_SECRET_KEY_FILE）。",
        "Restore the key file that was kept with the database (IDNODE_SECRET_KEY_FILE).",
    ),
    "toplevel_operator_file": Text(
        "运营主体文件 {path} 无法读取：{reason}。",
        "The operator's file {path} cannot be read: {reason}.",
        "按 docs/reporting.zh-CN.md 的样例改正该 JSON 文件。",
        "Correct the JSON file after the example in docs/reporting.md.",
    ),
    "toplevel_behaviour": Text(
        "演练节点没有这种行为：{name}。",
        "The rehearsal node cannot be told to do this: {name}.",
        "可选：{choices}。",
        "Choose among {choices}.",
    ),
    "toplevel_key_unusable": Text(
        "{path} 不是 {algorithm} 的公钥（PEM）。",
        "{path} holds no public key for {algorithm} (PEM).",
        "在上报节点运行 idnode toplevel key，把打印的公钥存为文件。",
        "Run idnode toplevel key on the node that reports and keep what it prints as a file.",
    ),
    "toplevel_silent": Text(
        "上级节点 {url} 没有应答：{reason}。自 {since} 起未送达任何报文。",
        "The top-level node {url} does not answer: {reason}. Nothing has arrived since {since}.",
        "报文保留在发件箱，恢复后自动补报。请检查网络、地址和上级节点；72 小时后转为死信并告警。",
        "Reports wait in the outbox and go when it is back. Check network, address and the node above; after 72 hours"
        " they are parked as dead letters.",
    ),
    "toplevel_key_old": Text(
        "上报的签名密钥自 {since} 起使用，已超过一年。",
        "The key that signs reports has been in use since {since}, for more than a year.",
        "用 idnode toplevel rotate 更换：由旧密钥为新密钥签名，无须停机。",
        "Change it by idnode toplevel rotate: the old key signs the new one over, and nothing stops.",
    ),
    "toplevel_refuses": Text(
        "上级节点退回了 {refused} 个报文，最近一个是 {table} {period}：{message}",
        "The top-level node refused {refused} messages, the last one {table} {period}: {message}",
        "用 idnode outbox list --state refused 查看；改正数据后自动以下一修订版重报，不影响其他报文。",
        "See idnode outbox list --state refused; repaired data go again as the next revision. Nothing else waits.",
    ),
    "toplevel_dead_letters": Text(
        "{dead} 个报文 72 小时没有回执，已转为死信。",
        "{dead} messages had no receipt for 72 hours and are parked as dead letters.",
        "上级节点恢复后，从未得到应答的会自动重发；其余用 idnode outbox retry --all 重发。",
        "Those that never got an answer go again when the node above is back; send the others with"
        " idnode outbox retry --all.",
    ),
    "toplevel_never": Text(
        "还没有向上级节点 {url} 上报过。",
        "Nothing was reported to the top-level node {url} yet.",
        "确认 idnode agent 正在运行；首次上报前须在上级节点登记公钥（idnode toplevel key）。",
        "See that idnode agent runs; the public key must be enrolled above first (idnode toplevel key).",
    ),
}

# What is said when nothing is wrong, and the words of pages and commands: Chinese, English.
LABELS: dict[str, tuple[str, str]] = {
    "toplevel_well": ("上级节点 {url} 最近一次回执在 {seconds} 秒前，待发 {waiting}",
                      "top-level node {url}: last receipt {seconds} s ago, {waiting} waiting"),
    "toplevel_off": ("未设置上级节点，不上报", "no top-level node is set; nothing is reported"),
    "service_toplevel": ("演练上级节点", "rehearsal top-level node"),
    "page_title": ("演练上级节点", "Rehearsal top-level node"),
    "page_warning": ("仅供演练，数据未经国家顶级节点确认。",
                     "For rehearsal only: this is not the national top-level node."),
    "page_nodes": ("上报节点", "Reporting nodes"),
    "page_received": ("已收到", "Received"),
    "page_score": ("最近几日的完整性", "Completeness of the last days"),
    "page_decisions": ("审核决定", "Decisions"),
    "page_refused": ("退回", "Refused"),
    "page_tasks": ("任务", "Tasks"),
    "page_behaviour": ("目前的行为", "How it is told to behave"),
    "page_nothing": ("暂无", "Nothing yet"),
    "column_prefix": ("前缀", "Prefix"),
    "column_table": ("表", "Table"),
    "column_period": ("统计期", "Period"),
    "column_parts": ("分片", "Parts"),
    "column_rows": ("行数", "Rows"),
    "column_rev": ("修订", "Revision"),
    "column_complete": ("完整度", "Complete"),
    "column_at": ("时间", "At"),
    "column_what": ("内容", "What"),
    "report_queued": ("{table} {period}：第 {number} 号，修订 {revision}，{rows} 行",
                      "{table} {period}: message {number}, revision {revision}, {rows} rows"),
    "report_same": ("{table} {period}：与已上报的相同", "{table} {period}: nothing has changed since it was reported"),
    "month_drawn": ("月报文稿已写入 {path}，尚未上报", "The sheet was written to {path}; nothing was sent"),
    "outbox_standing": (
        "等待 {waiting}（最早自 {oldest_waiting}），被退回 {refused}，已停发 {dead}；最近一次被接收 {last_accepted}",
        "{waiting} waiting (since {oldest_waiting}), {refused} refused, {dead} parked; last accepted {last_accepted}",
    ),
    "outbox_differing": ("与上级不一致（最近一次比对）：", "Not the same above, when it was last compared:"),
    "outbox_more": ("另有 {count} 个：idnode outbox list", "{count} more: idnode outbox list"),
    "outbox_empty": ("发件箱里没有符合条件的报文", "There is no such message in the outbox"),
    "outbox_retried": ("{count} 个报文将重新发送", "{count} messages go again"),
    "toplevel_running": ("演练上级节点运行在 {url}，标识解析端口 {handle_port}",
                         "The rehearsal top-level node runs at {url}, Handle port {handle_port}"),
    "toplevel_enrolled": ("已登记 {app}，前缀 {prefix}", "{app} is enrolled for {prefix}"),
    "toplevel_decided": ("已对 {subject} 作出决定：{decision}", "Decided on {subject}: {decision}"),
    "toplevel_task_given": ("已下达任务 {task}", "Task {task} was given"),
    "toplevel_key_new": ("已生成新密钥 {key}，将由旧密钥签名上报",
                         "A new key {key} was made; the old one will sign it over"),
}  # fmt: skip
