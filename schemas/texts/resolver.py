"""What a resolver answers to people and programs, and the words of the page that opens after a scan."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "prefix_stopped": Text(
        "前缀已停用。",
        "The prefix is stopped.",
        "请联系该前缀所属的企业或本节点的运营单位。",
        "Ask the enterprise that owns the prefix, or the operator of this node.",
    ),
    "prefix_not_here": Text(
        "该前缀不由本节点解析。",
        "This node does not answer for that prefix.",
        "请核对编码的前缀，或通过国家顶级节点、递归节点查询。",
        "Check the prefix, or ask a recursive node or the national top-level node.",
    ),
    "prefix_elsewhere": Text(
        "标识 {identifier} 由企业自建的节点解析。",
        "The identifier {identifier} is answered by the enterprise's own server.",
        "请打开企业节点的地址，或使用支持转介的解析客户端。",
        "Open the address of that server, or use a client that follows referrals.",
    ),
    "database_away": Text(
        "解析服务暂时不可用，并不表示该标识不存在。",
        "The resolver cannot look this up at the moment; that does not mean the identifier does not exist.",
        "请稍后重试。",
        "Try again in a moment.",
    ),
    "identifier_empty": Text(
        "没有给出标识。",
        "Empty handle invalid",
        "请在地址后面写上标识，例如 /88.101.5/PUMP-0000001。",
        "Put an identifier behind the address, such as /88.101.5/PUMP-0000001.",
    ),
    "identifier_too_long": Text(
        "标识超过 2048 字节。",
        "The handle is longer than 2048 bytes.",
        "请核对地址是否完整、正确。",
        "Check whether the address is the one that was printed.",
    ),
    "index_not_number": Text(
        "索引“{text}”不是整数。",
        "The index “{text}” is not a whole number.",
        "请填写数字，例如 index=2000。",
        "Give a number, such as index=2000.",
    ),
    "history_elsewhere": Text(
        "此处只给出标识现在的内容，不提供历史（at）。",
        "Only the present content is told here, not that of another time (at).",
        "历史请向注册服务查询：GET /api/v1/identifiers/{{标识}}?at=…",
        "Ask the registry: GET /api/v1/identifiers/{{identifier}}?at=…",
    ),
    "too_many_parameters": Text(
        "参数超过 {limit} 个。",
        "More than {limit} parameters.",
        "请分多次查询。",
        "Ask in several requests.",
    ),
    "parameters_not_json": Text(
        "请求体不是所需的 JSON 对象：{reason}。",
        "The body is not the JSON object that is needed: {reason}.",
        '请发送如 {{"index": [2000]}} 的对象，或使用表单。',
        'Send an object such as {{"index": [2000]}}, or a form.',
    ),
    "parameters_too_large": Text(
        "请求体超过 {limit} 字节。",
        "The body is longer than {limit} bytes.",
        "请减少参数。",
        "Send fewer parameters.",
    ),
    "credentials_needed": Text(
        "该操作需要身份验证，请通过 HTTPS 在注册服务上进行。",
        "This needs credentials; use the registry over HTTPS.",
        "写入和管理请访问注册服务的地址。",
        "Write and administer at the address of the registry.",
    ),
    "credentials_in_clear": Text(
        "凭据经未加密的 HTTP 发来，未予处理。",
        "Credentials came over plain HTTP and were not looked at.",
        "请改用 HTTPS；该凭据可能已泄露，请考虑更换。",
        "Use HTTPS; consider new credentials, others may have read these.",
    ),
    "link_away": Text(
        "登记服务暂时无法核实凭据。",
        "The registry cannot check credentials at the moment.",
        "请稍后重试；不带凭据仍可查询公开内容。",
        "Try again soon; without credentials the public content is answered.",
    ),
    "qr_too_long": Text(
        "标识太长，无法放入二维码。",
        "The identifier is too long for a QR code.",
        "请使用较短的标识。",
        "Use a shorter identifier.",
    ),
    "qr_unknown_format": Text(
        "不支持二维码格式“{text}”。",
        "There is no QR code in the format “{text}”.",
        "请使用 qr=svg 或 qr=png。",
        "Use qr=svg or qr=png.",
    ),
    "public_url_missing": Text(
        "本节点尚未登记公开地址：此码指向临时地址，请勿印刷。",
        "This node has no registered public address: the code leads to a temporary one; do not print it.",
        "请运营单位设置 IDNODE_PUBLIC_URL。",
        "The operator should set IDNODE_PUBLIC_URL.",
    ),
    "answer_is_stale": Text(
        "暂时无法查询最新内容，以下为 {seconds} 秒前的内容。",
        "The latest cannot be looked up now; what you see is {seconds} seconds old.",
        "内容可能已有更新，请稍后刷新。",
        "There may be news; reload in a moment.",
    ),
}

# Words on the page: Chinese, English.
LABELS: dict[str, tuple[str, str]] = {
    "product": ("产品信息", "Product information"),
    "identifier": ("标识", "Identifier"),
    "enterprise": ("企业", "Enterprise"),
    "template": ("模板", "Template"),
    "notice": ("公告", "Notice"),
    "retired": ("已停用", "Retired"),
    "sandbox": (
        "沙箱：仅供测试，每日清空，不对应真实产品。",
        "Sandbox: for tests only, emptied every day; there is no such product.",
    ),
    "successor": ("后继标识", "Successor"),
    "not_found": ("没有找到", "Not found"),
    "unavailable": ("暂时不可用", "Not available now"),
    "malformed": ("地址有误", "Not a valid address"),
    "elsewhere": ("由企业自建节点解析", "Answered by the enterprise's own server"),
    "no_values": ("该标识没有可公开的内容。", "This identifier has nothing public to show."),
    "more": ("内容较多，其余请见 JSON。", "There is more; see the JSON."),
    "server": ("服务器", "Server"),
    "open": ("打开", "Open"),
    "qr": ("二维码", "QR code"),
    "other_language": ("English", "中文"),
    "report": ("反馈编码问题", "Report a problem with this code"),
    "denied": ("无权查看", "Not for you to see"),
    "yes": ("是", "Yes"),
    "no": ("否", "No"),
    # at the address itself, without an identifier
    "root": ("标识解析", "Identifier resolution"),
    "root_text": (
        "这是工业互联网标识解析二级节点的解析地址：产品上的码通向这里，告诉您该产品的信息。",
        "Codes on goods lead to this address of the industrial internet identifier resolution system: it says what"
        " is known about the product.",
    ),
    "root_code": ("标识或扫到的内容", "Identifier, or what was scanned"),
    "root_button": ("解析", "Resolve"),
    "root_camera": ("用摄像头扫码，或上传码的照片", "Scan with the camera, or send a photograph of the code"),
    "root_typed": (
        "请扫描产品上的码，或在本地址后面写上标识，例如 /88.101.5/PUMP-0000001。",
        "Scan the code on the product, or put its identifier behind this address, such as /88.101.5/PUMP-0000001.",
    ),
}
