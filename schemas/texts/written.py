"""Reasons and results that the program itself wrote down, in English; told to a reader in his language."""

import re

# What was written, as it stands in tables of every age → Chinese, English; the groups fill the places.
_WRITTEN: tuple[tuple[str, str, str], ...] = (
    ("asked for: resend", "上级节点要求重报", "asked for by the top-level node"),
    ("asked for: (.+)", "上级节点要求重报：{}", "asked for by the top-level node: {}"),
    ("retried by the operator", "运营方重新发送", "sent again by the operator"),
    ("late: registrations", "封账后到达的注册数据", "registrations that arrived after the day was closed"),
    ("late: resolutions", "封账后到达的解析数据", "resolutions that arrived after the day was closed"),
    ("late: enterprises", "封账后才登记的企业接入或前缀划转",
     "connections of enterprises, or transfers of prefixes, that were entered after the day was closed"),
    ("late: both", "封账后到达的多类数据", "figures of several kinds that arrived after the day was closed"),
    ("the enterprise's own node answered", "企业自建节点已应答", "the enterprise's own node answered"),
    ("job ([0-9a-f-]{36})", "任务 {}", "job {}"),
    ("enterprise add", "企业登记时创建", "made on entry of the enterprise"),
    ("demonstration|演示数据", "演示数据", "demonstration"),
    ("no answer in time", "在规定时间内没有应答", "no answer in time"),
    (r"Cannot connect to host (\S+) ssl:.+? \[Connect call failed .*\]", "无法连接 {}", "no connection to {}"),
    (r"Cannot connect to host (\S+):\d+ ssl:.+? \[Name or service not known\]", "找不到主机 {}", "there is no host {}"),
    (r"Cannot connect to host (\S+) ssl:.+? \[(.+)\]", "无法连接 {}：{}", "no connection to {}: {}"),
    ("Server disconnected", "对方中断了连接", "the other side closed the connection"),
    ("no receipt", "应答中没有回执", "no receipt"),
    ("an answer that is no receipt", "应答不是回执", "an answer that is no receipt"),
    ("no heartbeat", "没有心跳", "no heartbeat"),
)  # fmt: skip
_PATTERNS = [(re.compile(written, re.DOTALL), labels) for written, *labels in _WRITTEN]


def describe_written(text: str, language: str) -> str:
    """In `zh` or `en`; what somebody typed, or another machine said, stays as it is."""
    for pattern, labels in _PATTERNS:
        found = pattern.fullmatch(text)
        if found is not None:
            return labels[0 if language == "zh" else 1].format(*found.groups())
    return text
