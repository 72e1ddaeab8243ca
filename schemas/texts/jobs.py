"""Jobs: imports of files."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "job_not_found": Text(
        "没有作业 {job}。",
        "There is no job {job}.",
        "请核对作业编号，或查看作业列表。",
        "Check its number, or look at the list of jobs.",
    ),
    "job_starter_ended": Text(
        "提交本次导入的 {actor} 已失效，或不再有写入该前缀的权限，导入就此停止；此前登记的行有效。",
        "{actor}, which began this import, has ended or may no longer write to the prefix; the import stopped there."
        " What was registered before stays.",
        "请用有效的访问密钥或账户重新提交同一文件：已登记的行显示为“未变”，其余继续登记。",
        "Send the same file again with a key or an account that is valid: rows that were registered are “unchanged”,"
        " the rest go on.",
    ),
}
