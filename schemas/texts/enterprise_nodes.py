"""What is said to enterprises' own nodes that report to us."""

from schemas.texts.table import Text
from schemas.texts.toplevel import TEXTS as TLN

_SIGN_ZH = "核对访问密钥、签名方法和时钟，见 docs/enterprise-node.zh-CN.md。不能签名的旧密钥请在 /api/v1/keys 换新。"
_ROW_ZH = "改正后重新发送；被拒绝的请求没有保存任何内容。行号从 0 起（rows），文件的行从 1 起（lines）。"
_ROW_EN = (
    "Correct it and send it again: nothing of it was kept. Rows count from 0 (rows), lines of a file from 1 (lines)."
)
_SIGN_EN = (
    "Compare key, signature and clock with docs/enterprise-node.md; a key that is too old to sign must be made anew."
)

# The rules of the contract, said to whom the row is from.
_RULES = ("e101", "e102", "e103", "e107", "e108", "e109", "e501", "e502", "e503", "e509", "e511", "e512", "e513",
          "e514", "e515", "e516")  # fmt: skip

TEXTS: dict[str, Text] = {
    **{f"ent_{code}": Text(TLN[f"tln_{code}"].zh, TLN[f"tln_{code}"].en, _ROW_ZH, _ROW_EN) for code in _RULES},
    "ent_e302": Text(
        "“{field}”不属于所报的前缀。", "“{field}” is not of the prefix that is reported.", _ROW_ZH, _ROW_EN
    ),
    "enterprise_node_not_found": Text(
        "前缀 {prefix} 下没有接入的企业节点。",
        "No enterprise's node is connected for the prefix {prefix}.",
        "请核对前缀；企业节点发来第一次报告后才会显示在这里。",
        "Check the prefix; a node is shown here once it has sent its first report.",
    ),
    "enterprise_node_clock": Text(
        "请求时间与本节点相差超过 300 秒。",
        "The time of the call is more than 300 seconds from ours.",
        "校准企业节点的时钟。",
        "Set the clock of the enterprise's node.",
    ),
    "enterprise_node_signature": Text("签名无效。", "The signature is not valid.", _SIGN_ZH, _SIGN_EN),
    "enterprise_node_replay": Text(
        "该随机数十分钟内已用过。",
        "This nonce was used within the last ten minutes.",
        "每次请求使用新的随机数。",
        "Use a new nonce for every call.",
    ),
    "enterprise_node_body": Text(
        "请求体不是 JSON 对象，或含有 NUL 字符。",
        "The body is no JSON object, or has the character NUL in it.",
        "按约定发送 JSON。",
        "Send JSON as the contract says.",
    ),
    "enterprise_node_route": Text(
        "路由不完整或不正确：{field}。",
        "The route is incomplete or wrong: {field}.",
        "给出 IP 地址（不是域名）和至少一个端口：tcp、udp、http。",
        "Give an IP address (no name) and at least one port: tcp, udp, http.",
    ),
    "enterprise_node_not_attached": Text(
        "前缀 {prefix} 的企业节点还没有接入。",
        "No node is attached for the prefix {prefix}.",
        "先调用 /ent/v1/attach。",
        "Call /ent/v1/attach first.",
    ),
    "enterprise_node_digest": Text(
        "请求体与所签的摘要不符。",
        "The body is not the one whose digest was signed.",
        "对实际发送的字节计算摘要（压缩的则为压缩后的字节），并确认传输途中没有改动。",
        "Take the digest over the bytes as sent, packed if they are; see that nothing changes them on the way.",
    ),
    "enterprise_node_rows": Text(
        "“{field}”应为 {least} 至 {most} 行的列表。",
        "“{field}” must be a list of {least} to {most} rows.",
        "把行放入 rows；更多的行分批发送。",
        "Put the rows into it, and send more of them in several calls.",
    ),
    "enterprise_node_day_old": Text(
        "{day} 已超过 {days} 天，不再接收。",
        "{day} is more than {days} days ago and taken no more.",
        "只上报最近 {days} 天的数据；更早的请联系运营方。",
        "Report the last {days} days; for older ones ask the operator.",
    ),
    "enterprise_node_future": Text(
        "“{field}”晚于现在。",
        "“{field}” is later than now.",
        "校准企业节点的时钟，用带时区的时间。",
        "Set the clock of the enterprise's node, and give times with their zone.",
    ),
    "enterprise_node_other_owner": Text(
        "{day} 时前缀 {prefix} 属于另一企业。",
        "On {day} the prefix {prefix} belonged to another enterprise.",
        "只上报前缀归本企业之后的日子。",
        "Report the days since the prefix is yours.",
    ),
    "enterprise_node_events": Text(
        "一个前缀一天最多上报 {most} 个事件。",
        "No more than {most} events of a prefix are taken a day.",
        "查明节点为何反复报事件，改正后再报。",
        "Find out why the node reports so many, and mend that first.",
    ),
    "enterprise_node_event": Text(
        "事件 {event} 已收到，但内容不同。",
        "The event {event} was received with other content.",
        "新的事件使用新的 eventId；恢复是一个新事件，以 relatedEventId 指向原事件。",
        "A new event has an eventId of its own; so has a recovery, which names the fault in relatedEventId.",
    ),
    "enterprise_node_line": Text(
        "{field} 不是 JSON 对象。",
        "{field} is no JSON object.",
        "每行一个 JSON 对象，UTF-8，行号从 1 起。",
        "Send one JSON object a line, in UTF-8; lines are counted from 1.",
    ),
    "enterprise_node_packed": Text(
        "文件无法解压。",
        "The file cannot be unpacked.",
        "用 gzip 压缩，完整发送。",
        "Pack it by gzip, and send all of it.",
    ),
    "enterprise_node_too_long": Text(
        "一个分片最多 {lines} 行、解压后 {bytes} 字节。",
        "A part has at most {lines} lines and {bytes} bytes unpacked.",
        "分成更多的分片发送。",
        "Send it in more parts.",
    ),
    "enterprise_node_empty": Text(
        "文件里没有任何行。",
        "There is no line in the file.",
        "没有内容的日子不必发送日志。",
        "Send no log of a day without lines.",
    ),
    "enterprise_node_full": Text(
        "该前缀保存的分片超过 {bytes} 字节。",
        "What is kept of this prefix is more than {bytes} bytes.",
        "较早的日志 183 天后自动删除；请联系运营方。",
        "Logs are deleted after 183 days by themselves; ask the operator.",
    ),
    "enterprise_node_revision": Text(
        "{about} 的修订 {rev} 已收到，但内容不同。",
        "Revision {rev} of {about} was received with other content.",
        "更正已上报的数字时请增大 rev。",
        "Raise rev to correct what was reported.",
    ),
}
