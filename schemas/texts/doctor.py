"""What `idnode doctor` finds."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "check_failed": Text(
        "检查 {check} 没有完成：{reason}",
        "The check {check} could not be done: {reason}",
        "请先排除数据库的问题，再运行 idnode doctor。",
        "Remove what is wrong with the database first, then run idnode doctor again.",
    ),
    "port_silent": Text(
        "{name} 没有在 {url} 应答：{reason}。",
        "{name} does not answer at {url}: {reason}.",
        "请运行 idnode up；日志在数据目录的 logs 中。",
        "Start idnode up; its logs are in logs of the data directory.",
    ),
    "port_answers_wrongly": Text(
        "{name} 没有在 {url} 正常应答：{reason}；该端口由程序 {program}（pid {pid}）使用。",
        "{name} does not answer at {url} as it should: {reason}; {program} (pid {pid}) has the port.",
        "若该程序不属于本节点，请更换端口；否则请查看数据目录的 logs。",
        "If that program is not the node's, choose another port; else see logs in the data directory.",
    ),
    "link_silent": Text(
        "登记服务没有在链路 {place} 上应答：{reason}。",
        "The registry does not answer over the link at {place}: {reason}.",
        "请启动登记服务（idnode up 或 idnode registry），并检查 IDNODE_REGISTRY_LINK 和两台机器之间的防火墙；"
        "在此期间带凭据的查询得到 503，匿名查询不受影响。",
        "Start the registry (idnode up or idnode registry); check IDNODE_REGISTRY_LINK and the firewall between the"
        " machines. Until then requests with credentials get 503, all others are answered.",
    ),
    "link_secret_wrong": Text(
        "登记服务不接受本机在链路 {place} 上的共享密钥。",
        "The registry does not accept this machine's secret for the link at {place}.",
        "请使两台机器的 IDNODE_REGISTRY_LINK_SECRET 相同，然后重新启动解析进程。",
        "Make IDNODE_REGISTRY_LINK_SECRET the same on both machines, then restart the resolver.",
    ),
    "clock_differs": Text(
        "本机时钟与数据库相差 {seconds} 秒。",
        "The clocks of this machine and of the database are {seconds} s apart.",
        "请在两台机器上启用时间同步（chrony、ntpd 或 systemd-timesyncd）。",
        "Synchronise both machines (chrony, ntpd or systemd-timesyncd).",
    ),
    "clock_doubted": Text(
        "本机时钟（{at}）比应有的时间超前 {hours} 小时，无法确认，已暂停封账。",
        "Nobody can say whether this machine's clock ({at}) is right: it is {hours} hours ahead of the time that passed"
        " since the last look. No day is closed.",
        "先核对时间（date -u）。时钟有误就校准，封账会自动恢复；"
        "时钟无误（例如停机数日）则运行 idnode close --confirm-clock。",
        "Check the time (date -u). Is it wrong, set it: closing goes on by itself. Is it right (the machine was off for"
        " days), run idnode close --confirm-clock.",
    ),
    "clock_insane": Text(
        "本机时间为 {now}，显然不正确。",
        "This machine's clock says {now}, which cannot be.",
        "请校正系统时间并启用时间同步，然后重新启动节点。",
        "Set the clock and synchronise it, then start the node again.",
    ),
    "standby_behind": Text(
        "解析所读的 {database} 没有跟上主库：未与主库连接，或相差 {behind} 条变更。",
        "{database}, which resolvers read, does not go on with the primary: it is not connected to it, or {behind}"
        " changes behind.",
        "请恢复主备复制，或改设 IDNODE_DATABASE_READ_URL 并重启解析服务；在此之前解析可能给出已失效的内容。",
        "Mend the replication, or set IDNODE_DATABASE_READ_URL to another server and restart the resolvers; until then"
        " they may answer what is no longer so.",
    ),
    "agent_never_seen": Text(
        "统计进程从未运行。",
        "The agent has never run.",
        "请运行 idnode up 或 idnode agent；在此之前解析只记日志，不进入统计。",
        "Start idnode up or idnode agent; until then resolutions are logged but not counted.",
    ),
    "agent_silent": Text(
        "统计进程已有 {seconds} 秒没有工作（最后一次：{seen}）。",
        "The agent has done nothing for {seconds} s (last seen {seen}).",
        "请运行 idnode up 或 idnode agent，并查看 logs/agent.log；日志中的解析不会丢失，恢复后补计。",
        "Start idnode up or idnode agent, and see logs/agent.log; nothing is lost, it is counted afterwards.",
    ),
    "change_log_waits": Text(
        "变更日志中有 {waiting} 条等待处理，最早的已等待 {seconds} 秒。",
        "{waiting} entries of the change log wait, the oldest for {seconds} s.",
        "请检查统计进程是否运行，数据库中是否有长时间未结束的事务。",
        "See whether the agent runs, and whether a transaction of the database stays open for long.",
    ),
    "change_log_missing": Text(
        "数据库中没有变更日志的位置记录。",
        "The database lacks the row that says where the change log stands.",
        "请从备份恢复数据库。",
        "Restore the database from the backup.",
    ),
    "segments_missing": Text(
        "解析日志缺少 {count} 个文件，例如 {name}。",
        "{count} files of the resolution log are missing, such as {name}.",
        "请从备份恢复这些文件；无法恢复时，对应时段的统计不能再由日志重新计算。",
        "Restore them from the backup; without them the figures of their time cannot be recomputed.",
    ),
    "segments_damaged": Text(
        "解析日志有 {count} 个文件不完整，例如 {name}。",
        "{count} files of the resolution log are not whole, such as {name}.",
        "请检查磁盘，并从备份恢复这些文件；用 idnode stats recompute --day 可以看到受影响的统计。",
        "Check the disk and restore them from the backup; idnode stats recompute --day names the figures.",
    ),
    "log_identity_malformed": Text(
        "文件 {path} 已损坏：其中应为解析日志目录在数据库中的名称（UUID）。",
        "The file {path} is damaged: it should hold the name (a UUID) of this log directory in the database.",
        "请从备份恢复该文件；没有备份时，按数据库 counted_segments 表 directory 列中本目录日志文件所用的 UUID 重写。"
        "在此之前解析照常记录，但不计入统计。",
        "Restore it from the backup; without one write the UUID that stands in column directory of table"
        " counted_segments beside this directory's files. Until then resolutions are logged, but not counted.",
    ),
    "segments_uncounted": Text(
        "{path} 中有解析记录已等待统计 {seconds} 秒。",
        "Answers in {path} have waited for {seconds} s to be counted.",
        "请检查统计进程是否运行，并查看 logs/agent.log。",
        "See whether the agent runs, and its log logs/agent.log.",
    ),
    "gaps_found": Text(
        "解析日志有 {count} 处缺失，已知缺少 {missing} 条；最近一处：{segment}，{reason}，始于 {from}。",
        "The resolution log has {count} gaps ({missing} answers); the last: {segment}, {reason}, from {from}.",
        "缺失已记录在案，报表会注明；请检查当时的磁盘空间与硬件，避免再次发生。",
        "They are on record and shown with the figures; look at the room and health of the disk at that time.",
    ),
    "secret_key_missing": Text(
        "没有密钥文件 {path}。",
        "There is no key file {path}.",
        "新节点请运行 idnode up 建立；已有数据的节点请从备份恢复该文件，否则加密内容无法读取。",
        "On a new node idnode up makes it; on one with data restore it from the backup, or sealed fields stay sealed.",
    ),
    "disk_filling": Text(
        "{path} 所在磁盘剩余 {free}，应保留至少 {reserve}。",
        "The disk of {path} has {free} left; at least {reserve} should stay free.",
        "请清理磁盘或扩容；空间用尽时登记会被拒绝，解析日志会出现缺失。",
        "Make room or enlarge it; on a full disk registering is refused and the resolution log has gaps.",
    ),
    "disk_read_only": Text(
        "{path} 所在的文件系统是只读的。",
        "The file system of {path} is read-only.",
        "多因磁盘出错：请用 dmesg 查明原因，检查修复（fsck）后重新挂载为可写，再重启 idnode up。",
        "Mostly after an error of the disk: look at dmesg, check it (fsck), mount it for writing, restart idnode up.",
    ),
    "data_dir_missing": Text(
        "数据目录 {path} 不存在。",
        "There is no data directory {path}.",
        "请运行 idnode up，或用 IDNODE_DATA_DIR 指定节点所用的目录。",
        "Start idnode up, or name the directory of the node in IDNODE_DATA_DIR.",
    ),
    "certificate_ends": Text(
        "证书 {path} 于 {end} 到期，还剩 {days} 天。",
        "The certificate {path} ends at {end}, in {days} days.",
        "请把新证书和密钥写入同样的文件；运行中的节点会自动载入。",
        "Put the new certificate and key into the same files; the running node loads them by itself.",
    ),
    "certificate_unreadable": Text(
        "证书 {path} 无法读取：{reason}",
        "The certificate {path} cannot be read: {reason}",
        "请检查 IDNODE_TLS_CERTIFICATE、IDNODE_SIGNING_CERTIFICATE；文件应为 PEM 格式。",
        "Check IDNODE_TLS_CERTIFICATE or IDNODE_SIGNING_CERTIFICATE; the file should be PEM.",
    ),
    "alarm_open": Text(
        "有未解除的告警：{cause}（{subject}）。",
        "There is an open alarm: {cause} ({subject}).",
        "处理步骤见 {paragraph}；详情请运行 idnode alarm list。",
        "What to do stands in {paragraph}; idnode alarm list says more.",
    ),
    "upstream_silent": Text(
        "上游解析 {url} 没有正常应答。",
        "The upstream {url} gives no proper answer.",
        "请检查网络和 IDNODE_UPSTREAM_URL；在此期间外部前缀返回“暂不可用”。",
        "Check the network and IDNODE_UPSTREAM_URL; foreign prefixes are “not available now” meanwhile.",
    ),
    "public_url_not_set": Text(
        "没有设置 IDNODE_PUBLIC_URL，二维码中的地址暂为 {url}/…。",
        "IDNODE_PUBLIC_URL is not set; codes carry {url}/… for the time being.",
        "印制标签之前请设置公网可达且长期不变的地址，例如 IDNODE_PUBLIC_URL=https://id.example.com。",
        "Before labels are printed, set an address that lasts: IDNODE_PUBLIC_URL=https://id.example.com.",
    ),
    "registry_url_not_set": Text(
        "二维码中的地址为 {url}/…，但没有设置 IDNODE_REGISTRY_URL，扫码页面上没有“反馈编码问题”。",
        "Codes carry {url}/…, but IDNODE_REGISTRY_URL is not set: scanned pages have no “report a problem”.",
        "请设置公众可以打开控制台的地址，例如 IDNODE_REGISTRY_URL=https://console.example.com。",
        "Set the address under which anybody reaches the console: IDNODE_REGISTRY_URL=https://console.example.com.",
    ),
}

# What is well.
LABELS: dict[str, tuple[str, str]] = {
    "database_well": (
        "{database} 可用，PostgreSQL {version}，结构第 {schema} 版",
        "{database} answers: PostgreSQL {version}, schema {schema}",
    ),
    "standby_well": ("解析所读的 {database} 与主库一致", "{database}, which resolvers read, goes on with the primary"),
    "port_answers": ("{name} 在 {url} 正常应答", "{name} answers at {url}"),
    "link_answers": ("登记服务在链路 {place} 上应答", "the registry answers over the link at {place}"),
    "clock_agrees": (
        "时钟与数据库一致（相差 {seconds} 秒）",
        "the clock agrees with the database's ({seconds} s apart)",
    ),
    "clock_sane": ("现在是 {now}，统计日为 {day}（UTC+8）", "it is {now}; figures go to the day {day} (UTC+8)"),
    "agent_seen": ("统计进程 {seconds} 秒前完成一轮", "the agent finished a pass {seconds} s ago"),
    "change_log_well": ("变更日志至第 {position} 条，等待处理 {waiting} 条", "at {position}; {waiting} entries wait"),
    "segments_none": ("{path} 中还没有解析日志", "there is no resolution log in {path} yet"),
    "segments_well": ("解析日志共 {segments} 段，均已计入统计", "{segments} segments, all counted"),
    "gaps_none": ("{days} 天内解析日志没有缺失", "no gaps in the resolution log within {days} days"),
    "secret_key_well": (
        "密钥文件 {path}（权限 {mode}），请随数据一同备份",
        "{path} (mode {mode}); keep it with every backup",
    ),
    "disk_well": ("{path} 所在磁盘剩余 {free}", "{free} free on the disk of {path}"),
    "certificate_well": ("证书 {path} 有效期至 {end}", "{path} is good until {end}"),
    "font_well": ("PDF 使用字体 {path}", "PDFs use the font {path}"),
    "upstream_answers": ("上游解析 {url} 正常应答", "the upstream {url} answers"),
    "public_url_set": ("二维码中的地址为 {url}/…", "codes carry {url}/…"),
    "sum": ("{errors} 个错误，{warnings} 个警告。", "{errors} errors, {warnings} warnings."),
}
