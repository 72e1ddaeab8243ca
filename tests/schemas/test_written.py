"""What the program itself wrote down is told in the reader's language; what a person wrote is not touched."""

import pytest

from schemas.texts.written import describe_written

WRITTEN = [
    ("asked for: resend", "上级节点要求重报", "asked for by the top-level node", "no reason was given"),
    ("asked for: rows lost {0}", "上级节点要求重报：rows lost {0}", "asked for by the top-level node: rows lost {0}",
     "the reason is another's, whatever stands in it"),
    ("retried by the operator", "运营方重新发送", "sent again by the operator", "of a report"),
    ("late: both", "封账后到达的多类数据", "figures of several kinds that arrived after the day was closed",
     "of a day"),
    ("job 0123abcd-0123-0123-0123-0123456789ab", "任务 0123abcd-0123-0123-0123-0123456789ab",
     "job 0123abcd-0123-0123-0123-0123456789ab", "of a record"),
    ("演示数据", "演示数据", "demonstration", "written in the language of the node"),
    ("Cannot connect to host 192.0.2.7:443 ssl:default [Connect call failed ('192.0.2.7', 443)]",
     "无法连接 192.0.2.7:443", "no connection to 192.0.2.7:443", "an answer that did not come"),
    ("Cannot connect to host top.example:443 ssl:default [Name or service not known]",
     "找不到主机 top.example", "there is no host top.example", "a name that is not there"),
    ("job done", "job done", "job done", "typed"),
    ("late: because of the flood", "late: because of the flood", "late: because of the flood", "typed"),
    ("", "", "", "nothing was written"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "chinese", "english", "why"), WRITTEN, ids=[case[3] for case in WRITTEN])
def test_reasons_of_the_program_are_told_in_the_readers_language(
    written: str, chinese: str, english: str, why: str
) -> None:
    assert (describe_written(written, "zh"), describe_written(written, "en")) == (chinese, english), why
