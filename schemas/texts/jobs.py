"""Jobs: imports of files."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "job_not_found": Text(
        "没有作业 {job}。",
        "There is no job {job}.",
        "请核对作业编号，或查看作业列表。",
        "Check its number, or look at the list of jobs.",
    ),
}
