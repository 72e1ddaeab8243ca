"""Running the node: what `idnode up` says while it starts, runs and stops, and errors of the command line."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "port_taken": Text(
        "端口 {port}（{protocol}，{address}）已被程序 {program}（pid {pid}）占用。",
        "Port {port} ({protocol}, {address}) is taken by {program} (pid {pid}).",
        "请停止该程序，或用 {setting} 指定另一端口，例如 {setting}={free}。",
        "Stop that program, or name another port, such as {setting}={free}.",
    ),
    "port_taken_by_unknown": Text(
        "端口 {port}（{protocol}，{address}）已被其他账号的程序占用。",
        "Port {port} ({protocol}, {address}) is taken by a program of another account.",
        "请停止该程序，或用 {setting} 指定另一端口，例如 {setting}={free}。",
        "Stop that program, or name another port, such as {setting}={free}.",
    ),
    "port_not_allowed": Text(
        "不允许使用端口 {port}（{protocol}，{address}）：{reason}。",
        "Port {port} ({protocol}, {address}) may not be used: {reason}.",
        "请用 {setting} 指定 1024 以上的端口，或授予 CAP_NET_BIND_SERVICE 权限。",
        "Name a port above 1023 in {setting}, or grant CAP_NET_BIND_SERVICE.",
    ),
    "address_not_here": Text(
        "本机没有地址 {address}：{reason}。",
        "This machine has no address {address}: {reason}.",
        "请把 IDNODE_BIND 设为本机的地址，例如 127.0.0.1、0.0.0.0 或 ::。",
        "Set IDNODE_BIND to an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::.",
    ),
    "child_not_started": Text(
        "进程 {name} 无法启动：{reason}",
        "The process {name} does not start: {reason}",
        "详情见日志 {path}；请先排除其中所述的问题。",
        "Its log {path} has the details; remove the cause it names, then start again.",
    ),
    "child_not_ready": Text(
        "{name}（{url}）在 {seconds} 秒内没有应答：{reason}",
        "{name} ({url}) did not answer within {seconds} seconds: {reason}",
        "详情见目录 {path} 中的日志。",
        "The logs in {path} have the details.",
    ),
    "file_unusable": Text(
        "无法使用 {path}：{reason}。",
        "{path} cannot be used: {reason}.",
        "请检查路径、权限和磁盘剩余空间（idnode doctor）后重试。",
        "Check the path, the rights and the room on the disk (idnode doctor), then try again.",
    ),
    "command_line_wrong": Text(
        "命令行有误：{reason}",
        "The command line is wrong: {reason}",
        "用 {command} --help 查看可用的选项和参数。",
        "{command} --help lists options and arguments.",
    ),
    "argument_unusable": Text(
        "参数有误：{reason}",
        "An argument cannot be used: {reason}",
        "请检查过大的数字和不是 UTF-8 的文字。",
        "Look for a number that is too large, or text that is not UTF-8.",
    ),
    "program_failed": Text(
        "程序出现内部错误（{error}）。",
        "The program failed for a reason of its own ({error}).",
        "请把文件 {path} 交给维护人员。",
        "Give the file {path} to those who maintain the program.",
    ),
    "database_connection_lost": Text(
        "与数据库的连接中断：{reason}",
        "The connection to the database was lost: {reason}",
        "请用 idnode doctor 检查数据库，恢复后重试；已确认的内容不会丢失。",
        "Check the database by idnode doctor, then try again; what was acknowledged is kept.",
    ),
    "database_read_only": Text(
        "数据库处于只读状态：标识仍可解析，但不能登记，也不能计数。",
        "The database takes no writes: identifiers still resolve, but nothing is registered or counted.",
        "请确认 IDNODE_DATABASE_URL 指向主库，且未设置 default_transaction_read_only；之后自动恢复并补计。",
        "See that IDNODE_DATABASE_URL names the primary and default_transaction_read_only is off; the node then goes on"
        " by itself, and counts what was answered meanwhile.",
    ),
    "database_without_room": Text(
        "数据库资源不足：{reason}",
        "The database has run out of room: {reason}",
        "请清理磁盘或减少连接后重试；已确认的内容不会丢失。",
        "Make room on the disk or close connections, then try again; what was acknowledged is kept.",
    ),
    "demo_refused": Text(
        "本节点已有 {count} 家真实企业，不能导入演示数据。",
        "This node holds {count} real enterprises; the demonstration is not mixed with them.",
        "请用 IDNODE_DATA_DIR 指定一个新目录来运行演示节点；现有节点请用 idnode up 启动。",
        "Run the demonstration in a new directory, IDNODE_DATA_DIR; start this node by idnode up.",
    ),
    "demo_data_missing": Text(
        "没有找到演示数据 {path}。",
        "The demonstration data are not at {path}.",
        "请在源代码目录中运行，或用 IDNODE_DEMO_DIR 指定包含这些文件的目录。",
        "Run it from a source directory, or name the directory that holds them in IDNODE_DEMO_DIR.",
    ),
    "job_crashed": Text(
        "处理进程连续 {count} 次在第 {row} 行之后异常结束。",
        "The process of the job died {count} times in a row after row {row}.",
        "请查看日志 logs/registry.log；之前的行已登记，修正文件后可重新导入。",
        "See logs/registry.log; the rows before are registered, and the file can be imported again once corrected.",
    ),
    "demo_incomplete": Text(
        "演示数据导入不完整：{file} 的结果为 {counts}。",
        "The demonstration was not loaded whole: {file} came to {counts}.",
        "请检查该文件是否被修改，然后重新运行 idnode demo；已导入的内容不会重复。",
        "Check whether the file was changed, then run idnode demo again; nothing is loaded twice.",
    ),
}

# What is said when nothing is wrong.
LABELS: dict[str, tuple[str, str]] = {
    "migrated": ("已应用 {count} 个结构变更。", "{count} migrations applied."),
    "demo_title": ("导入演示数据", "Loading the demonstration"),
    "database_starting": ("正在启动数据库……", "Starting the database …"),
    "children_starting": ("正在启动各服务……", "Starting the services …"),
    "certificates_reloading": (
        "收到 SIGHUP，正在重新载入证书。",
        "SIGHUP: the certificates are loaded anew.",
    ),
    "child_ended": (
        "进程 {name}（pid {pid}）已结束：{how}，{pause} 秒后重新启动。",
        "The process {name} (pid {pid}) ended: {how}. It is started again after {pause} s.",
    ),
    "child_restarted": ("进程 {name} 已重新启动（pid {pid}）。", "The process {name} was started again (pid {pid})."),
    "child_put_off": ("进程 {name} 暂时无法启动：{reason}。", "The process {name} cannot be started now: {reason}."),
    "child_killed": (
        "进程 {name}（pid {pid}）没有按时结束，已强制终止。",
        "Killed {name} (pid {pid}), which did not stop.",
    ),
    "database_ended": ("数据库已停止运行，正在重新启动……", "The database has ended; starting it again …"),
    "database_stuck": (
        "数据库恢复失败后停滞不动，正在将其结束……",
        "The database failed to recover and does nothing more; ending it …",
    ),
    "database_socket_gone": (
        "数据库的套接字文件被删除，正在重新启动数据库……",
        "Somebody removed the database's socket; starting the database again …",
    ),
    "database_restarted": ("数据库已重新启动（pid {pid}）。", "The database was started again (pid {pid})."),
    "stopping": ("正在停止……", "Stopping …"),
    "running": ("节点已就绪", "The node is ready"),
    "service_registry": ("登记服务", "Registry"),
    "service_resolver": ("解析服务（{workers} 个进程）", "Resolver ({workers} workers)"),
    "service_handle": ("Handle 协议", "Handle protocol"),
    "service_database": ("数据库", "Database"),
    "service_embedded": ("内置数据库", "Embedded database"),
    "place_data": ("数据目录", "Data directory"),
    "place_logs": ("日志", "Logs"),
    "try_next": ("下一步可以试试", "What to try next"),
    "try_curl": ("HTTP 解析", "Resolve over HTTP"),
    "try_resolve": ("Handle 协议解析", "Resolve over Handle"),
    "try_page": ("扫码页面", "Page of one product"),
    "try_first": ("登记第一家企业", "Add a first enterprise"),
    "try_console": ("控制台（账户 admin）", "Console (account admin)"),
    "try_openapi": ("接口文档", "OpenAPI"),
    "try_doctor": ("检查节点", "Examine the node"),
    "public_url_missing": (
        "注意：尚未设置 IDNODE_PUBLIC_URL，二维码中的地址暂为 {url}/…，请勿印制。",
        "Note: IDNODE_PUBLIC_URL is not set; codes carry {url}/… for the time being. Do not print them on goods.",
    ),
    "stop_by": ("按 Ctrl-C 停止。", "Ctrl-C stops it."),
    "demo_loaded": (
        "演示数据：{enterprises} 家企业，{identifiers} 个标识。",
        "Demonstration: {enterprises} enterprises, {identifiers} identifiers.",
    ),
}
