"""Asking other resolution nodes."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "upstream_url_malformed": Text(
        "上游解析地址 {url} 不是有效的 http 或 https 地址。",
        "The upstream address {url} is not a valid http or https address.",
        "请填写上游 Handle 代理的根地址，例如 https://hdl.handle.net，不带 /api、参数和用户名。",
        "Give the root of a Handle proxy, such as https://hdl.handle.net, without /api, parameters or user name.",
    ),
    "upstream_private": Text(
        "上游解析地址 {url} 是内网或本机地址，按默认设置不会连接。",
        "The upstream address {url} is private or local; by default it is never connected to.",
        "如确需使用内网上游，请设置 IDNODE_UPSTREAM_ALLOW_PRIVATE=true。",
        "If the upstream is meant to be inside your network, set IDNODE_UPSTREAM_ALLOW_PRIVATE=true.",
    ),
}
