"""What the SNMS interface says: fixed, and in Chinese only. The first group is published, byte for byte (§d, 3.11)."""

from schemas.errors import ServiceError
from schemas.texts import format_message, format_remedy

SUCCESS = "success"
WRONG_PASSWORD = "用户名/密码错误！"  # noqa: S105
MISSING = "缺少必要的请求参数: {name}"
INDEX_UNKNOWN = "非法操作，索引{index}在模板中不存在"
TAKEN = "标识已存在"
NOT_FOUND = "没有找到标识"
NOT_THERE = "标识不存在"  # of one item of a batch that is deleted
BUSY = "系统繁忙"

SIGN_IN_FIRST = "未登录或登录已过期，请先调用 /identity/token 获取令牌"
NO_PERMISSION = "没有权限执行此操作"
PREFIX_NOT_OWN = "没有权限：前缀 {prefix} 不属于当前用户所在企业"
NO_ROUTE = "接口不存在: {path}"
WRONG_METHOD = "请求方法错误，此接口支持: {allow}"
BODY_NOT_JSON = "请求内容不是有效的 JSON（UTF-8 编码，不压缩），错误位于第 {position} 个字节附近"
BODY_TOO_DEEP = "请求内容嵌套层数过多"
BODY_NOT_OBJECT = "请求内容应为 JSON 对象"
BODY_NOT_LIST = "请求内容应为 JSON 数组"
BODY_TOO_LARGE = "请求内容超过 {limit} 字节的上限，请分多次提交"
BODY_CUT_OFF = "请求内容不完整：连接已中断，或 Content-Length 大于实际字节数"
KEY_TWICE = "请求内容有误：字段 {name} 重复出现"
WRONG_TYPE = "参数 {name} 类型错误，应为{expected}"
TOO_LONG = "参数 {name} 长度超过上限 {limit}"
BAD_CHARACTER = "参数 {name} 含有不允许的字符"
OUT_OF_BOUNDS = "参数 {name} 应在 {least} 到 {most} 之间"
NOT_A_CHOICE = "参数 {name} 取值错误，可选值: {choices}"
VALUE_TWICE = "非法操作，索引{index}重复"
WRONG_ITEM_TYPE = "非法操作，索引{index}的类型应为{type}"
ITEM_DISABLED = "非法操作，索引{index}对应的属性已停用"
FORMAT_NOT_STRING = "参数 {name} 取值错误，只支持 string"
BATCH_SIZE = "请求内容应为 1 到 {most} 个元素的 JSON 数组，本次为 {count} 个，建议每次 100 到 1500 个"
TEMPLATE_NOT_FOUND = "前缀 {prefix} 下没有版本为“{version}”的模板，请核对 templateVersion，或先添加模板"
TEMPLATE_TAKEN = "模板版本 {version} 已存在"
ITEM_TAKEN = "模板中的“{item}”重复"
MODE_UNKNOWN = "参数 mode 取值错误，只支持 merge（保留未提交的属性）"
OF_FIELD = "参数 {name} 有误：{message}"
DAY_WRONG = "参数 {name} 不是日期：“{text}”，应为 yyyy-MM-dd"
TIME_WRONG = "参数 {name} 不是时间：“{text}”，应为 yyyy-MM-dd HH:mm:ss"
ADDRESS_WRONG = "参数 {name} 中的“{text}”不是 IPv4 或 IPv6 地址，多个地址用英文分号分隔"
SYSTEMS_MISSING = "参数 {name} 缺少 sysType 为 {kinds} 的系统（1注册系统 2注册数据 3数据备份 4解析服务器 均须填写）"
PORTS_UNWANTED = "参数 {name} 只有注册系统（sysType 为 1）填写"
ENTERPRISE_NOT_FOUND = "没有编号为 {id} 的企业"
HOSTING_SERVER_UNKNOWN = "参数 proxyServerId 有误：没有托管服务器 {id}，本节点的托管服务器编号为 {own}"
ADDRESS_FAMILY = "参数 {name} 有误：{address} 不是 IPv{family} 地址"
PORT_MISSING = "参数 entPrefixConfig 有误：tcpPort、udpPort、httpPort 至少填写一个"
HANDLE_TYPE = "参数 {name} 取值错误，只支持 HS_SITE"
DIGEST_WRONG = "参数 {name} 应为密码的 SHA-256，即 64 位小写十六进制"

TEXT, NUMBER, FLAG, LIST, OBJECT = "字符串", "整数", "布尔值 true 或 false", "数组", "对象"

# What our own errors are called here; all others keep their own Chinese text with its remedy.
_PUBLISHED = {
    "identifier_taken": TAKEN,
    "identifier_taken_retired": TAKEN,
    "identifier_differs": TAKEN,
    "identifier_not_found": NOT_FOUND,
    "identifier_retired": NOT_FOUND,
    "template_not_found": TEMPLATE_NOT_FOUND,
    "key_missing": SIGN_IN_FIRST,
    "key_wrong": SIGN_IN_FIRST,
    "token_wrong": SIGN_IN_FIRST,
    "token_expired": SIGN_IN_FIRST,
    "scope_missing": NO_PERMISSION,
    "operator_only": NO_PERMISSION,
    "body_cut_off": BODY_CUT_OFF,
}


def say(error: ServiceError) -> str:
    """The message of an error of ours."""
    details = {"field": error.field or "", **error.details}
    published = _PUBLISHED.get(error.code)
    if published is not None:
        return published.format(**details)
    message, remedy = format_message(error.code, "zh", **details), format_remedy(error.code, "zh", **details)
    return f"{message}{'' if message.endswith('。') else '。'}{remedy}"
