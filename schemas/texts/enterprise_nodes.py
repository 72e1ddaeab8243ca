"""What is said to enterprises' own nodes that report to us."""

from schemas.texts.table import Text

_SIGN_ZH = "核对访问密钥、签名方法和时钟，见 docs/reporting.zh-CN.md。不能签名的旧密钥请在 /api/v1/keys 换新。"
_SIGN_EN = "Compare key, signature and clock with docs/reporting.md; a key that is too old to sign must be made anew."

TEXTS: dict[str, Text] = {
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
        "请求体不是 JSON 对象。", "The body is no JSON object.", "按约定发送 JSON。", "Send JSON as the contract says."
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
    "enterprise_node_applications": Text(
        "“{field}”应为 1 至 {most} 个应用的列表。",
        "“{field}” must be a list of 1 to {most} applications.",
        "请按表 T10 的字段分批发送。",
        "Send rows of T10, in several calls if there are more.",
    ),
    "enterprise_node_statistics": Text(
        "统计数据违反规则 {rule}：{field}。",
        "The statistics break the rule {rule}: {field}.",
        "改正后以更大的 rev 重报。",
        "Correct them and report again.",
    ),
    "enterprise_node_revision": Text(
        "{day} 的修订 {rev} 已收到，但内容不同。",
        "Revision {rev} of {day} was received with other content.",
        "更正已上报的数字时请增大 rev。",
        "Raise rev to correct what was reported.",
    ),
}
