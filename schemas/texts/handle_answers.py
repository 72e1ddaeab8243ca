"""What the Handle protocol's answers say in words: clients show it, none relies on it."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "handle_needs_credentials": Text(
        "本接口不办理需要身份认证的操作（操作码 {opcode}）。",
        "What needs credentials (opcode {opcode}) is not done on this interface.",
        "请使用注册服务的 HTTP 接口 /api/v1，并携带访问密钥。",
        "Use the registry's HTTP interface /api/v1 with an access key.",
    ),
    "handle_unknown_opcode": Text(
        "未知的操作码 {opcode}。",
        "Unknown operation {opcode}.",
        "解析请使用操作码 1，查询站点信息请使用操作码 2。",
        "Use opcode 1 to resolve and 2 for site information.",
    ),
    "handle_no_longer_supported": Text(
        "操作码 {opcode} 已不再支持。",
        "Operation {opcode} is no longer supported.",
        "请升级客户端。",
        "Use a newer client.",
    ),
    "handle_unsigned": Text(
        "本服务器不对应答签名。",
        "This server does not sign its answers.",
        "请去掉 CERT 标志后重试，或通过 HTTPS 接口解析。",
        "Ask again without the CERT flag, or over HTTPS.",
    ),
    "handle_no_session": Text(
        "会话不存在或已超时。",
        "Invalid session id or session time out. Please try again.",
        "请重新建立会话，或不加密发送公开解析请求。",
        "Begin a new session, or ask for what is public without encryption.",
    ),
    "handle_no_challenge": Text(
        "没有等待应答的质询，或应答超时。",
        "There is no such challenge, or the answer came too late.",
        "请重新发送原请求。",
        "Send the original request again.",
    ),
    "handle_identifier_empty": Text(
        "标识为空。",
        "The identifier is empty.",
        "请填写完整标识，例如 88.101.5/SN0001。",
        "Give a whole identifier, such as 88.101.5/SN0001.",
    ),
    "handle_identifier_too_long": Text(
        "标识长 {length} 字节，超过 {limit} 字节。",
        "The identifier has {length} bytes; at most {limit} are possible.",
        "请检查标识是否被重复编码或拼接了其他内容。",
        "Check whether it was encoded twice or something was appended to it.",
    ),
    "handle_too_many_filters": Text(
        "请求列出的索引或类型过多。",
        "The request lists too many indexes or types.",
        "请不加条件解析整条记录，或分次请求。",
        "Resolve the whole record without filters, or ask in parts.",
    ),
    "handle_not_responsible": Text(
        "该前缀不属于本节点。",
        "That prefix does not live here.",
        "请通过递归节点或国家顶级节点查询其归属。",
        "Ask a recursive node or the top-level node where it lives.",
    ),
    "handle_hosted_elsewhere": Text(
        "该前缀由企业自己的服务器解析。",
        "That prefix is resolved by the enterprise's own server.",
        "请去掉 DNRF 标志以获得该服务器的地址。",
        "Ask without the DNRF flag to be told its address.",
    ),
    "handle_too_many_hops": Text(
        "递归转发次数过多（{hops}）。",
        "The request was passed on too often ({hops} times).",
        "请检查各解析节点之间是否互相转发。",
        "Check whether resolvers forward to each other in a circle.",
    ),
    "handle_not_a_request": Text(
        "这是应答报文，不是请求。",
        "This is a response, not a request.",
        "请检查报文的应答码，请求中应为 0。",
        "The response code of a request must be 0.",
    ),
    "handle_too_large_for_udp": Text(
        "应答有 {size} 字节，无法通过 UDP 发送。",
        "The answer has {size} bytes, too many for UDP.",
        "请改用 TCP，或只请求需要的索引或类型。",
        "Ask over TCP, or only for the indexes or types you need.",
    ),
    "handle_too_large": Text(
        "应答有 {size} 字节，超过一条报文的上限。",
        "The answer has {size} bytes, more than a message can carry.",
        "请只请求需要的索引或类型。",
        "Ask only for the indexes or types you need.",
    ),
    "handle_unavailable": Text(
        "暂时无法解析，请稍后重试。",
        "This cannot be resolved right now.",
        "请稍后重试；若持续出现，请联系节点运维人员。",
        "Try again shortly; if it persists, tell the operator of the node.",
    ),
    "handle_malformed": Text(
        "报文格式错误：{reason}。",
        "Malformed message: {reason}.",
        "请检查客户端使用的 Handle 协议版本（2.0–2.11），以及报文是否在传输中被截断。",
        "Check which version of the Handle protocol the client speaks (2.0–2.11) and whether the message was cut.",
    ),
}
