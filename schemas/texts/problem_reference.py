"""Sentences of the API reference in Chinese: problem reports."""

PROBLEMS: dict[str, str] = {
    "problem reports": "问题反馈",
    "List problem reports": "问题反馈列表",
    "About codes of one's own prefixes, for operator and reviewers about all; newest first.": (
        "关于自己前缀下编码的反馈，运营方和审核员可见全部；新的在前。"
    ),
    "One problem report": "一条问题反馈",
    "With what was decided on it.": "及其处理经过。",
    "Decide on a problem report": "处理问题反馈",
    "Take it in hand, close it, or open it again. Nothing happens to the identifier: freezing is a call of its own.": (
        "开始处理、办结或重新打开。不影响标识本身：冻结另有接口。"
    ),
    "See how to reach who reported": "查看反馈者的联系方式",
    "Personal data: the reason goes into the audit trail.": "属个人信息，原因会写入审计记录。",
}
