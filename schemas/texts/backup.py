"""Backups, and what is made from them."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "backup_target_not_empty": Text(
        "目录 {path} 不是空的。",
        "The directory {path} is not empty.",
        "请为每次备份指定一个新目录，例如 /backup/2026-03-02。",
        "Give every backup a directory of its own, such as /backup/2026-03-02.",
    ),
    "backup_inside_data": Text(
        "备份目录 {path} 位于节点自己的目录 {data_dir} 之中。",
        "The directory {path} is inside the node's own {data_dir}.",
        "请选择另一块磁盘上的目录：数据目录损坏时备份应当还在。",
        "Choose a directory on another disk: the backup must be there when the data directory is not.",
    ),
    "backup_incomplete": Text(
        "{path} 中没有完整的备份：manifest.json {reason}。",
        "There is no complete backup in {path}: manifest.json: {reason}.",
        "中断的备份没有 manifest.json，不能使用；请指定另一次备份的目录。",
        "A backup that was interrupted has no manifest.json and is of no use; name the directory of another one.",
    ),
    "backup_damaged": Text(
        "备份中的文件 {path} 缺失或已损坏。",
        "The file {path} of the backup is missing or damaged.",
        "请换用另一次备份，或从副本取回该文件后再试；没有写入任何内容。",
        "Take another backup, or fetch this file from a copy and try again; nothing was written.",
    ),
    "backup_format_unknown": Text(
        "备份的格式为第 {format} 版，本程序认识第 {known} 版。",
        "The backup has format {format}; this program knows {known}.",
        "请用建立该备份的版本或更新的版本来恢复。",
        "Restore it with the version that made it, or a newer one.",
    ),
    "restore_not_empty": Text(
        "{path} 已有内容，恢复不会覆盖任何数据。",
        "There is something in {path}; restoring overwrites nothing.",
        "请把它移走，或用 IDNODE_DATA_DIR（及 IDNODE_LOG_DIR、IDNODE_SECRET_KEY_FILE）指定空的位置。",
        "Move it away, or name an empty place in IDNODE_DATA_DIR (and IDNODE_LOG_DIR, IDNODE_SECRET_KEY_FILE).",
    ),
    "restore_database_not_empty": Text(
        "IDNODE_DATABASE_URL 指定的数据库已有节点的数据。",
        "The database that IDNODE_DATABASE_URL names holds a node already.",
        "请新建一个空数据库并指定它，或去掉该设置使用内置数据库。",
        "Make an empty database and name it, or unset IDNODE_DATABASE_URL to use the embedded one.",
    ),
    "restore_unfinished": Text(
        "{path} 中的恢复没有完成。",
        "The restore into {path} was not finished.",
        "请清空该目录，再运行一次 idnode restore。",
        "Empty this directory and run idnode restore again.",
    ),
}

# What is said when nothing is wrong.
LABELS: dict[str, tuple[str, str]] = {
    "backup_title": ("备份数据库", "Backing up the database"),
    "backup_done": (
        "备份完成：{files} 个文件，{size}，数据截至 {taken}，含 {identifiers} 个标识。",
        "Backed up: {files} files, {size}, as of {taken}, with {identifiers} identifiers.",
    ),
    "backup_key": (
        "其中有密钥文件：请像保管密码一样保管 {path}。",
        "It holds the secret key: keep {path} as you keep a password.",
    ),
    "backup_well": (
        "备份完好：{files} 个文件，数据截至 {taken}，结构第 {schema} 版。",
        "The backup is whole: {files} files, as of {taken}, schema {schema}.",
    ),
    "restore_done": (
        "已恢复到 {path}：数据截至 {taken}，含 {identifiers} 个标识。",
        "Restored into {path}: as of {taken}, with {identifiers} identifiers.",
    ),
    "restore_settings": ("备份时的设置，请逐项核对：", "Settings of that node; compare them with yours:"),
    "restore_next": ("下一步：idnode up，然后 idnode doctor。", "Next: idnode up, then idnode doctor."),
}
