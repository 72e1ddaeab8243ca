"""What can be wrong with a request to `/api/v1`, and the titles of statuses."""

from schemas.texts.table import Text


def _title(zh: str, en: str) -> Text:
    return Text(zh, en, "详见 detail 与 remedy。", "See detail and remedy.")


TEXTS: dict[str, Text] = {
    "status_400": _title("请求有误", "Bad request"),
    "status_401": _title("未通过身份验证", "Unauthenticated"),
    "status_403": _title("没有权限", "Forbidden"),
    "status_404": _title("未找到", "Not found"),
    "status_405": _title("方法不适用", "Method not allowed"),
    "status_408": _title("等待超时", "Request timeout"),
    "status_409": _title("与现状冲突", "Conflict"),
    "status_410": _title("已停用", "Gone"),
    "status_412": _title("前提条件不成立", "Precondition failed"),
    "status_413": _title("内容过大", "Content too large"),
    "status_415": _title("内容类型不支持", "Unsupported media type"),
    "status_431": _title("请求头过大", "Request header fields too large"),
    "status_429": _title("请求过于频繁", "Too many requests"),
    "status_500": _title("内部错误", "Internal error"),
    "status_503": _title("暂时不可用", "Unavailable"),
    "status_507": _title("存储空间不足", "Insufficient storage"),
    "internal_error": Text(
        "系统内部错误。",
        "Something went wrong inside the node.",
        "请稍后重试；若仍出现，请把时间告诉节点运营方，日志中有详情。",
        "Try again later; if it stays, tell the operator the time: the log has the details.",
    ),
    "database_unavailable": Text(
        "数据库暂时没有响应，本次请求未执行或结果未知。",
        "The database does not answer; the request was not carried out, or its outcome is unknown.",
        "请几秒后重试；写操作请携带相同的 Idempotency-Key，不会重复执行。",
        "Try again in a few seconds; with the same Idempotency-Key a write is not carried out twice.",
    ),
    "disk_full": Text(
        "磁盘已满，没有写完。",
        "The disk is full; not everything was written.",
        "请清理磁盘；重做之前，先查看命令是否已经生效。",
        "Make room, and look whether the command took effect before you repeat it.",
    ),
    "route_not_found": Text(
        "没有这个地址。",
        "There is nothing at this address.",
        "请对照 /docs 核对路径；标识中的特殊字符须百分号编码一次。",
        "Check the path against /docs; special characters of an identifier are percent-encoded once.",
    ),
    "page_not_found": Text(
        "没有这个页面。",
        "There is no such page.",
        "请核对地址，或从首页重新进入。",
        "Check the address, or begin at the start page.",
    ),
    "method_not_allowed": Text(
        "该地址不支持此方法，可用：{allow}。",
        "This address does not take that method; it takes {allow}.",
        "请对照 /docs 更换方法。",
        "See /docs for the right method.",
    ),
    "request_malformed": Text(
        "收到的内容不是有效的 HTTP 请求。",
        "What came is no valid HTTP request.",
        "请检查客户端和中间的代理：HTTP/1.1 请求须有且只有一个 Host；地址中的空格须写作 %20；"
        "若登记服务使用 TLS，地址应以 https:// 开头。",
        "Check the client and the proxies between: HTTP/1.1 has one Host; a space in an address is %20; if the registry"
        " speaks TLS, its address begins with https://.",
    ),
    "head_too_large": Text(
        "请求头超过 {limit} 字节的上限。",
        "The head of the request is larger than the limit of {limit} bytes.",
        "请缩短地址、清除该站点的 Cookie，或把参数放入请求内容。",
        "Shorten the address, delete the cookies of this site, or send parameters in the body.",
    ),
    "head_too_slow": Text(
        "请求头在 {seconds} 秒内没有传完。",
        "The head of the request was not complete within {seconds} seconds.",
        "请检查网络后重试。",
        "Check the network, then try again.",
    ),
    "body_too_large": Text(
        "请求内容超过 {limit} 字节的上限。",
        "The body is larger than the limit of {limit} bytes.",
        "请分批提交，或以文件导入（POST /api/v1/jobs）。",
        "Send it in parts, or import it as a file (POST /api/v1/jobs).",
    ),
    "page_forbidden": Text(
        "您的账户没有此项权限。",
        "Your account may not do this.",
        "请由有此权限的同事办理，或请管理员授予权限。",
        "Ask a colleague who may, or have an administrator give you the right.",
    ),
    "page_database_unavailable": Text(
        "数据库暂时没有响应。",
        "The database does not answer.",
        "请几秒后重试；若刚才提交了内容，先看它是否已经保存。",
        "Try again in a few seconds; if you had sent something, see first whether it was saved.",
    ),
    "page_body_too_large": Text(
        "提交的内容超过 {limit} MB。",
        "What was sent is larger than {limit} MB.",
        "请缩短文字或换用较小的文件，再次提交。",
        "Shorten the texts or choose a smaller file, and send it again.",
    ),
    "body_cut_off": Text(
        "请求内容未传完。",
        "The body was cut off.",
        "请重新发送。",
        "Send it again.",
    ),
    "body_unreadable": Text(
        "请求内容无法读取。",
        "The body cannot be read.",
        "请核对 Content-Type 与内容是否一致、编码是否为 UTF-8。",
        "Check that it is what Content-Type says, in UTF-8.",
    ),
    "body_not_json": Text(
        "请求内容不是合法的 JSON（第 {position} 个字符处）。",
        "The body is not JSON (at character {position}).",
        "请检查括号、引号和逗号。",
        "Check brackets, quotes and commas.",
    ),
    "body_wrong_shape": Text(
        "请求内容应为 JSON 对象。",
        "The body must be a JSON object.",
        "请对照 /docs 中的示例，并设置 Content-Type: application/json。",
        "Follow the example in /docs, with Content-Type: application/json.",
    ),
    "content_type_wrong": Text(
        "不支持内容类型 {kind}。",
        "Content of type {kind} is not read here.",
        "请使用 application/json；上传文件请使用 multipart/form-data。",
        "Use application/json, or multipart/form-data for files.",
    ),
    "field_missing": Text(
        "缺少“{field}”。",
        "“{field}” is missing.",
        "请补充后重试。",
        "Add it.",
    ),
    "field_unknown": Text(
        "没有“{field}”这个字段。",
        "There is no member “{field}”.",
        "请核对拼写；可用字段见 /docs。",
        "Check its spelling against /docs.",
    ),
    "parameter_unknown": Text(
        "此地址没有“{field}”这个查询参数。",
        "This address has no query parameter “{field}”.",
        "请核对拼写；可用的参数：{known}。",
        "Check its spelling; there are {known}.",
    ),
    "field_invalid": Text(
        "“{field}”的类型或取值不正确。",
        "“{field}” is of the wrong type or out of bounds.",
        "请对照 /docs 中的示例改正。",
        "Correct it by the example in /docs.",
    ),
    "field_too_long": Text(
        "“{field}”超过 {limit} 个字符。",
        "“{field}” is longer than {limit} characters.",
        "请缩短。",
        "Shorten it.",
    ),
    "field_too_many": Text(
        "“{field}”超过 {limit} 项。",
        "“{field}” has more than {limit} entries.",
        "请分批提交。",
        "Send them in parts.",
    ),
    "field_empty": Text(
        "“{field}”为空或过短。",
        "“{field}” is empty or too short.",
        "请填写后重试。",
        "Fill it in.",
    ),
    "field_not_a_choice": Text(
        "“{field}”只能取：{choices}。",
        "“{field}” must be one of {choices}.",
        "请改为其中之一。",
        "Choose one of them.",
    ),
    "text_not_unicode": Text(
        "“{field}”含有无法保存的字符（如 NUL 或不成对的代理字符）。",
        "“{field}” holds characters that cannot be stored, such as NUL or half of a surrogate pair.",
        "请删除这些字符。",
        "Remove them.",
    ),
    "identifier_or_suffix": Text(
        "请给出完整标识（identifier），或前缀与后缀（prefix、suffix），二者择一。",
        "Give either the whole identifier, or its prefix and suffix.",
        "例如 identifier 为 88.101.5/PUMP-0000001。",
        "For example identifier: 88.101.5/PUMP-0000001.",
    ),
    "identifier_other_prefix": Text(
        "标识不在前缀 {prefix} 之下。",
        "The identifier is not under the prefix {prefix}.",
        "一次提交只能使用一个前缀；请核对标识或前缀。",
        "One call takes one prefix; correct the identifier or the prefix.",
    ),
    "record_without_items": Text(
        "标识 {identifier} 没有模板，不能按模板修改。",
        "The identifier {identifier} has no template by which it could be changed.",
        "请在请求中用 template 指定模板版本；模板自身的标识随模板修改。",
        "Name a template version in the request; a template's own identifier changes with the template.",
    ),
    "values_not_public": Text(
        "标识 {identifier} 的该项内容不对您公开。",
        "What was asked for of {identifier} is not open to you.",
        "请使用所属企业的访问密钥，或不限定 index 和 type 再次读取。",
        "Use an access key of its enterprise, or read it without index and type.",
    ),
    "idempotency_key_reused": Text(
        "Idempotency-Key {key} 已用于另一个请求。",
        "The Idempotency-Key {key} was used for another request.",
        "每个新请求请使用新的键；重试时请保持内容完全相同。",
        "Use a new key for a new request; repeat a request exactly.",
    ),
    "idempotency_key_malformed": Text(
        "Idempotency-Key 须为 1 至 255 个可见 ASCII 字符。",
        "An Idempotency-Key has 1 to 255 printable ASCII characters.",
        "例如使用 UUID。",
        "Use a UUID, for example.",
    ),
    "etag_unknown": Text(
        "If-Match 中不是本接口给出的 ETag。",
        "If-Match holds no ETag of this interface.",
        '请使用最近一次读取时得到的 ETag，例如 "3"。',
        'Send the ETag of your last read, such as "3".',
    ),
    "changed_meanwhile": Text(
        "您读取之后，内容已被他人修改。",
        "It has been changed by someone else since you read it.",
        "请重新读取，再用新的 ETag 修改。",
        "Read it again, then repeat your change with the new ETag.",
    ),
    "limit_out_of_bounds": Text(
        "limit 须在 1 至 {most} 之间。",
        "limit must be from 1 to {most}.",
        "请调整每页条数，用 after 继续读取。",
        "Choose another size, and go on with after.",
    ),
    "cursor_unknown": Text(
        "“{field}”不是上一页给出的 next。",
        "“{field}” is not the `next` of a page before.",
        "请原样使用上一页的 next。",
        "Send `next` of the page before as it was.",
    ),
    "job_not_ended": Text(
        "导入 {job} 尚未结束，已处理 {rows} 行。",
        "The import {job} has not ended; {rows} rows are done.",
        "请用 GET /api/v1/jobs/{job} 查看进度，结束后再取回执。",
        "Follow it at GET /api/v1/jobs/{job}, and fetch the receipt when it has ended.",
    ),
    "job_ended": Text(
        "导入 {job} 已经结束（{state}）。",
        "The import {job} has ended already ({state}).",
        "无需取消；可下载回执。",
        "There is nothing to cancel; its receipt can be fetched.",
    ),
}
