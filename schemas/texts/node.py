"""Starting the node: data directory, database, settings, migrations."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "data_dir_not_writable": Text(
        "数据目录 {path} 无法写入：{reason}。",
        "The data directory {path} cannot be written: {reason}.",
        "请更改该目录的属主或权限，或用 IDNODE_DATA_DIR 指定另一目录。",
        "Change its owner or mode, or name another directory in IDNODE_DATA_DIR.",
    ),
    "data_dir_unreachable": Text(
        "数据库账号 {account} 无法进入数据目录 {path}。",
        "The account {account} that runs the database may not pass the directories down to {path}.",
        "请用 IDNODE_DATA_DIR 指定该账号可以到达的目录，例如 /var/lib/idnode。",
        "Name a directory that this account can reach in IDNODE_DATA_DIR, such as /var/lib/idnode.",
    ),
    "data_dir_in_use": Text(
        "数据目录 {path} 正被另一个节点进程（pid {pid}）使用。",
        "The data directory {path} is in use by another node (pid {pid}).",
        "请先停止该节点，或用 IDNODE_DATA_DIR 指定另一目录。",
        "Stop that node first, or name another directory in IDNODE_DATA_DIR.",
    ),
    "database_runs_already": Text(
        "另一个 PostgreSQL（pid {pid}）正在 {path} 上运行，它不是由本节点启动的。",
        "Another PostgreSQL (pid {pid}) runs on {path}, and this node did not start it.",
        "请先停止它：kill -INT {pid}。",
        "Stop it first: kill -INT {pid}.",
    ),
    "database_account_unknown": Text(
        "系统账号“{account}”不存在，或不能用来运行数据库。",
        "There is no system account “{account}”, or it may not run a database.",
        "请用 IDNODE_DATABASE_USER 指定一个已有的普通账号，或用 IDNODE_DATABASE_URL 指定现有数据库。",
        "Name an existing ordinary account in IDNODE_DATABASE_USER, or a database in IDNODE_DATABASE_URL.",
    ),
    "database_programs_missing": Text(
        "没有找到 PostgreSQL {minimum} 或更高版本的程序。",
        "No PostgreSQL programs of version {minimum} or later were found.",
        "请运行 make run 安装依赖，或安装系统的 postgresql 软件包，或用 IDNODE_DATABASE_URL 指定现有数据库。",
        "Install the dependencies by make run, or the system's postgresql, or set IDNODE_DATABASE_URL.",
    ),
    "database_version_unknown": Text(
        "{path} 中的数据库版本为 PostgreSQL {version}，本机可用的版本为：{found}。",
        "The database in {path} is of PostgreSQL {version}; this machine can run: {found}.",
        "请安装 PostgreSQL {version}，或用 pg_upgrade 升级该目录；若不需要其中的数据，请更换 IDNODE_DATA_DIR。",
        "Install PostgreSQL {version}, or convert it by pg_upgrade; or set IDNODE_DATA_DIR to a new directory.",
    ),
    "database_not_made": Text(
        "无法在 {path} 中建立数据库：{reason}",
        "No database could be made in {path}: {reason}",
        "请检查磁盘空间和目录权限后重试。",
        "Check the free space and the modes of the directory, then start again.",
    ),
    "database_not_started": Text(
        "数据库没有启动：{reason}",
        "The database did not start: {reason}",
        "详情见 {path} 中的日志；请先排除日志所述的问题。",
        "Its log in {path} has the details; remove the cause it names, then start again.",
    ),
}
