"""What alarms say."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "alarm_slow_resolution": Text(
        "解析进程 {subject} 响应缓慢：{seconds} 秒。",
        "The resolver worker {subject} is slow: {seconds} s.",
        "请按运维手册“解析缓慢”一节检查数据库和机器负载。",
        "Look at the database and the load of the machine, as the operator's guide says.",
    ),
    "alarm_cold_cache": Text(
        "解析进程 {subject} 的缓存命中率过低：{answers} 次应答中 {percent}% 查询了数据库。",
        "The cache of {subject} is cold: {percent} % of {answers} answers asked the database.",
        "刚启动时属正常现象；若持续出现，请增大 IDNODE_CACHE_MEGABYTES。",
        "After a start that is normal; if it stays, give it a larger IDNODE_CACHE_MEGABYTES.",
    ),
    "alarm_database_away": Text(
        "数据库已有 {seconds} 秒没有应答，或不能写入。",
        "The database has not answered, or has taken no writes, for {seconds} s.",
        "已缓存的标识仍可解析，登记暂停；请运行 idnode doctor 并查看数据库日志。",
        "Known identifiers still resolve, nothing is registered; run idnode doctor and see the database's log.",
    ),
    "alarm_disk_full": Text(
        "{path} 所在磁盘将满：剩余 {free}（{percent}%），未能记录的应答 {lost} 条。",
        "The disk of {path} is filling: {free} left ({percent} %); {lost} answers could not be logged.",
        "请立即清理或扩容；空间用尽后登记会被拒绝，解析日志会出现缺失。",
        "Make room at once; on a full disk registering is refused and the resolution log has gaps.",
    ),
    "alarm_clock_off": Text(
        "本机时钟与 {subject} 相差 {seconds} 秒。",
        "The clock of this machine is {seconds} s apart from {subject}.",
        "请启用时间同步；时间不准会把统计计入错误的日期，上报也会被拒绝。",
        "Synchronise it; with a wrong clock figures go to the wrong day and reports are refused.",
    ),
    "alarm_report_refused": Text(
        "上级节点退回了 {refused} 份报告，另有 {dead} 份逾期未能送达，{differing} 张报表与上级所存不一致。",
        "Reports refused by the top-level node: {refused}; given up undelivered: {dead}; tables that are not the same"
        " above: {differing}.",
        "请在控制台“上报”页（或用 idnode outbox list --state refused）查看被退回的报文及各行的原因，"
        "修正后会以新的修订号自动重报；不一致的日期也在该页，可请上级下达重报任务。",
        "The page “Reports upwards” (or idnode outbox list --state refused) says which and why; once repaired they go"
        " again as the next revision. It marks days that differ, too: let the node above ask for a resend.",
    ),
    "alarm_report_overdue": Text(
        "{subject} 的月报应于 {due} 前送达上级节点，至今没有送达。",
        "The monthly report of {subject} was due above by {due} and has not arrived.",
        "运行 idnode report --month {subject} 补报；仍未送达的，见控制台“上报”页。",
        "Send it by idnode report --month {subject}; if it does not arrive, see the page “Reports upwards”.",
    ),
    "alarm_certificate_expiring": Text(
        "证书 {subject} 将于 {end} 到期，还剩 {days} 天。",
        "The certificate {subject} ends at {end}, in {days} days.",
        "请把新证书写入同一文件；运行中的节点会自动载入，无需重启。",
        "Put the new one into the same file; the running node loads it by itself.",
    ),
    "alarm_worker_restarting": Text(
        "进程 {subject} 在十分钟内异常退出 {times} 次。",
        "The process {subject} has died {times} times within ten minutes.",
        "请查看数据目录 logs 中该进程的日志，排除日志所述的原因。",
        "See its log in logs of the data directory, and remove the cause it names.",
    ),
    "alarm_agent_silent": Text(
        "统计进程已有 {seconds} 秒没有反应。",
        "The agent has said nothing for {seconds} s.",
        "请查看 logs/agent.log；解析仍在记录，恢复后会补计，期间不会发出其他告警。",
        "See logs/agent.log; answers are still logged and counted afterwards, but no other alarm goes out meanwhile.",
    ),
    "alarm_restored": Text(
        "本节点由备份恢复：{note}。备份之后登记的标识不在库中。",
        "This node was restored from a backup: {note}. What was registered after it is not there.",
        "请按运维手册“恢复之后”一节补登，然后在“告警”页确认（或运行 idnode alarm acknowledge restored）。",
        "Register it again as the operator's guide says, then say so on the page of alarms (or run idnode alarm"
        " acknowledge restored).",
    ),
    "alarm_clock_jumped": Text(
        "本机时钟（{at}）比应有的时间超前 {hours} 小时，已暂停封账。",
        "The clock of this machine ({at}) is {hours} hours ahead of what it can be; no day is closed.",
        "请校准时钟，封账会自动恢复；若时钟无误（例如停机数日后启动），运行 idnode close --confirm-clock。",
        "Set it right and closing goes on by itself; if it is right (the machine was off for days), run"
        " idnode close --confirm-clock.",
    ),
    "alarm_problem_reported": Text(
        "前缀 {subject} 下的标识有 {number} 条问题反馈尚无人处理，最新一条编号 {latest}。",
        "Problem reports about codes under {subject} wait for somebody: {number}, the latest No. {latest}.",
        "请在控制台“问题反馈”中查看并受理；若属假冒或错误，可联系企业并冻结该标识。",
        "See them on the console's page of problem reports and take them up; a forged or wrong code can be frozen.",
    ),
    "alarm_test": Text(
        "这是一条测试告警。",
        "This is a test of the alarms.",
        "无需处理。",
        "There is nothing to do.",
    ),
    "alarm_ways_missing": Text(
        "没有设置任何告警方式。",
        "No way to send alarms is set up.",
        "请设置 IDNODE_ALARM_WEBHOOK_URL，或 IDNODE_ALARM_SMTP_URL、IDNODE_ALARM_MAIL_FROM 和 IDNODE_ALARM_MAIL_TO。",
        "Set IDNODE_ALARM_WEBHOOK_URL, or IDNODE_ALARM_SMTP_URL with IDNODE_ALARM_MAIL_FROM and IDNODE_ALARM_MAIL_TO.",
    ),
    "alarm_not_sent": Text(
        "告警没有能够通过 {way} 发出：{reason}。",
        "The alarm could not be sent by {way}: {reason}.",
        "请检查地址、口令和网络，然后再试一次。",
        "Check the address, the password and the network, and try again.",
    ),
    "alarm_nothing_to_acknowledge": Text(
        "没有需要确认的“{cause}”告警。",
        "There is no alarm “{cause}” that waits to be acknowledged.",
        "只有 restored 需要人工确认；其他告警在原因消除后自动解除。",
        "Only restored is acknowledged by hand; the others end when their cause has gone.",
    ),
}

# What is said when nothing is wrong, and the word a mail begins with.
LABELS: dict[str, tuple[str, str]] = {
    "alarms_none": ("没有告警。", "No alarms."),
    "alarm_sent": ("已通过 {way} 发出。", "Sent by {way}."),
    "alarm_acknowledged": ("已确认。", "Acknowledged."),
    "alarm_kind_raised": ("告警", "raised"),
    "alarm_kind_repeated": ("告警仍在", "repeated"),
    "alarm_kind_cleared": ("已解除", "cleared"),
    "alarm_kind_test": ("测试", "test"),
}
