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
    "database_unreachable": Text(
        "无法连接数据库 {database}：{reason}",
        "The database {database} cannot be reached: {reason}",
        "请检查 IDNODE_DATABASE_URL，并确认该数据库正在运行且允许本机连接。",
        "Check IDNODE_DATABASE_URL, and that this database runs and admits this machine.",
    ),
    "database_too_old": Text(
        "数据库为 PostgreSQL {version}，至少需要 {minimum}。",
        "The database is PostgreSQL {version}; at least {minimum} is needed.",
        "请升级数据库，或去掉 IDNODE_DATABASE_URL 使用内置数据库。",
        "Upgrade it, or unset IDNODE_DATABASE_URL to use the embedded one.",
    ),
    "database_not_ours": Text(
        "该数据库中有不属于本节点的表（{table}）。",
        "The database holds tables that are not this node's ({table}).",
        "请为节点新建一个空数据库，并在 IDNODE_DATABASE_URL 中指定它。",
        "Make an empty database for the node and name it in IDNODE_DATABASE_URL.",
    ),
    "schema_older": Text(
        "数据库结构停留在第 {found} 版，本程序需要第 {known} 版。",
        "The schema of the database is at {found}; this program needs {known}.",
        "请运行 idnode migrate。",
        "Run idnode migrate.",
    ),
    "schema_newer": Text(
        "数据库结构为第 {found} 版，比本程序认识的第 {known} 版更新。",
        "The schema of the database is at {found}, newer than {known}, the last this program knows.",
        "请运行更新版本的程序；升级后如需更改结构，再运行 idnode migrate。",
        "Run a newer version of the program, then idnode migrate if it asks for it.",
    ),
    "schema_differs": Text(
        "数据库结构中有本程序不认识的变更 {found}。",
        "The schema of the database holds a change unknown to this program: {found}.",
        "请运行建立该数据库的那个版本的程序，或更换数据库；idnode migrate 不会改动它。",
        "Run the version that made this database, or take another one; idnode migrate leaves it alone.",
    ),
    "migration_blocked": Text(
        "结构变更 {name} 一直没有得到所需的锁：{reason}。",
        "The migration {name} did not get the locks it needs: {reason}.",
        "请在 pg_stat_activity 中找出长时间未结束的事务，结束它之后再运行 idnode migrate；数据没有改动。",
        "Find the transaction that stays open in pg_stat_activity, end it and run idnode migrate; nothing was changed.",
    ),
    "database_not_running": Text(
        "没有设置 IDNODE_DATABASE_URL，{path} 中的内置数据库也没有运行。",
        "IDNODE_DATABASE_URL is not set, and no embedded database runs in {path}.",
        "请先运行 idnode up，或设置 IDNODE_DATABASE_URL；若 idnode up 正在运行，它的输出说明数据库为何停止。",
        "Start idnode up first, or set IDNODE_DATABASE_URL; if idnode up runs, its output says why the database ended.",
    ),
    "database_silent": Text(
        "{path} 中的内置数据库（pid {pid}）正在运行，但没有应答。",
        "The embedded database in {path} (pid {pid}) runs, but does not answer.",
        "刚启动时请稍候；否则请检查磁盘和内存，查看数据目录的 postgres/log，仍无应答则重启 idnode up。",
        "Just started, it needs a moment; else check disk and memory, read postgres/log there, and restart idnode up.",
    ),
    "setting_unknown": Text(
        "设置“{name}”（{source}）不存在，是否应为“{closest}”？",
        "There is no setting “{name}” ({source}); did you mean “{closest}”?",
        "请改正或删除它；全部设置见 docs。",
        "Correct or remove it; docs lists all settings.",
    ),
    "setting_invalid": Text(
        "设置“{name}”的值不正确：{reason}",
        "The setting “{name}” is wrong: {reason}",
        "请在环境变量或 idnode.toml 中改正它。",
        "Correct it in the environment or in idnode.toml.",
    ),
    "tls_unusable": Text(
        "证书 {path} 和私钥 {key} 无法使用：{reason}。",
        "The certificate {path} and its key {key} cannot be used: {reason}.",
        "请检查 IDNODE_TLS_CERTIFICATE 和 IDNODE_TLS_KEY：PEM 格式、互相匹配、节点账号可读；私钥不能有口令。",
        "Check IDNODE_TLS_CERTIFICATE and IDNODE_TLS_KEY: PEM, of one pair, readable for the node's account, the key"
        " without a passphrase.",
    ),
    "link_needs_secret": Text(
        "登记服务链路 {place} 在机器之间使用，但没有设置共享密钥。",
        "The registry link {place} is between machines, and no secret is set for it.",
        "请用 openssl rand -hex 32 生成密钥，写入两台机器上只有节点账号可读的文件，"
        "并以 IDNODE_REGISTRY_LINK_SECRET_FILE 指明。",
        "Make one with openssl rand -hex 32, keep it on both machines in a file only the node's account can read, and"
        " name that file in IDNODE_REGISTRY_LINK_SECRET_FILE.",
    ),
    "link_needs_certificate": Text(
        "登记服务链路 {place} 会传送凭据，必须使用 TLS，但没有设置证书。",
        "Credentials pass over the registry link {place}: it needs TLS, and there is no certificate.",
        "请设置 IDNODE_TLS_CERTIFICATE 和 IDNODE_TLS_KEY；若只在一台机器上运行，请不要设置 IDNODE_REGISTRY_LINK。",
        "Set IDNODE_TLS_CERTIFICATE and IDNODE_TLS_KEY; on a single machine leave IDNODE_REGISTRY_LINK unset.",
    ),
    "link_ca_unreadable": Text(
        "IDNODE_REGISTRY_LINK_CA 指定的文件 {path} 无法使用：{reason}。",
        "The file {path} that IDNODE_REGISTRY_LINK_CA names cannot be used: {reason}.",
        "请放入签发登记服务证书的机构的 PEM 证书；自签名证书则放入证书本身。",
        "It holds the PEM certificate of who signed the registry's; of one signed by itself, that certificate.",
    ),
    "link_cannot_listen": Text(
        "登记服务无法在 {place} 上接收其他机器的解析进程：{reason}。",
        "The registry cannot listen at {place} for resolvers of other machines: {reason}.",
        "请在登记服务所在机器上将 IDNODE_REGISTRY_LINK 设为本机的地址和空闲端口；0.0.0.0:端口 表示所有地址。",
        "Where the registry runs, name an address of that machine and a free port in IDNODE_REGISTRY_LINK; 0.0.0.0:port"
        " is all of its addresses.",
    ),
    "settings_file_unreadable": Text(
        "设置文件 {path} 无法读取：{reason}",
        "The settings file {path} cannot be read: {reason}",
        "请检查 IDNODE_CONFIG 和该文件的权限与 TOML 写法。",
        "Check IDNODE_CONFIG, the mode of the file and that it is TOML.",
    ),
    "setting_given_twice": Text(
        "“{name}”和“{name}_file”只能设置其中一个。",
        "Only one of “{name}” and “{name}_file” may be set.",
        "请删除其中一个。",
        "Remove one of them.",
    ),
}
