"""The Handle protocol, where it touches people."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "malformed_message": Text(
        "这不是合法的 Handle 报文：{reason}。",
        "This is not a valid Handle message: {reason}.",
        "请检查客户端使用的 Handle 协议版本（2.0–2.11），以及报文是否在传输中被截断。",
        "Check which version of the Handle protocol the client speaks (2.0–2.11) and whether the message was cut.",
    ),
}
