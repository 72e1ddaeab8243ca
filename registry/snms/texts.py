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
BODY_NOT_JSON = "请求内容不是有效的 JSON（UTF-8 编码），错误位于第 {position} 个字节附近"
BODY_TOO_DEEP = "请求内容嵌套层数过多"
BODY_EMPTY = "请求内容为空，应为 JSON"
BODY_NOT_OBJECT = "请求内容应为 JSON 对象"
BODY_NOT_LIST = "请求内容应为 JSON 数组"
BODY_TOO_LARGE = "请求内容超过 {limit} 字节的上限，请分多次提交"
BODY_CUT_OFF = "请求内容不完整，连接已中断"
KEY_TWICE = "请求内容有误：字段 {name} 重复出现"
WRONG_TYPE = "参数 {name} 类型错误，应为{expected}"
TOO_LONG = "参数 {name} 长度超过上限 {limit}"
BAD_CHARACTER = "参数 {name} 含有不允许的字符"
OUT_OF_BOUNDS = "参数 {name} 应在 {least} 到 {most} 之间"
NOT_A_CHOICE = "参数 {name} 取值错误，可选值: {choices}"

TEXT, NUMBER, FLAG, LIST, OBJECT = "字符串", "整数", "布尔值 true 或 false", "数组", "对象"

# What our own errors are called here; all others keep their own Chinese text with its remedy.
_PUBLISHED = {
    "identifier_taken": TAKEN,
    "identifier_taken_retired": TAKEN,
    "identifier_differs": TAKEN,
    "identifier_not_found": NOT_FOUND,
    "identifier_retired": NOT_FOUND,
    "key_missing": SIGN_IN_FIRST,
    "key_wrong": SIGN_IN_FIRST,
    "operator_only": NO_PERMISSION,
    "body_cut_off": BODY_CUT_OFF,
}


def say(error: ServiceError) -> str:
    """The message of an error of ours."""
    published = _PUBLISHED.get(error.code)
    if published is not None:
        return published
    details = {"field": error.field or "", **error.details}
    return f"{format_message(error.code, 'zh', **details)}{format_remedy(error.code, 'zh', **details)}"
