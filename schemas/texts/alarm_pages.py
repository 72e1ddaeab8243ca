"""Words of the console's page of alarms: Chinese, English."""

PAGES: dict[str, tuple[str, str]] = {
    "alarms": ("告警", "Alarms"),
    "alarms_text": (
        "每个原因只有一条，原因消除后自动解除；每条都写明怎么办。",
        "One for each cause; it ends by itself when its cause has gone. Each says what to do.",
    ),
    "alarms_nothing": ("没有告警", "Nothing is wrong"),
    "alarms_nothing_text": (
        "节点每隔几秒检查一次：解析是否变慢、数据库、磁盘、时钟、证书、各个进程、上报和统计。",
        "Every few seconds the node looks at: resolution, database, disk, clock, certificates, processes, reports and"
        " counting.",
    ),
    "alarms_ways_hint": (
        "通知方式（webhook、邮件）用 idnode alarm test 检查；数据库停止时请在本机运行 idnode alarm list。",
        "Test the ways to be told (webhook, e-mail) with idnode alarm test; while the database is away, run"
        " idnode alarm list on the machine.",
    ),
    "alarm_since": ("自 {at} 起", "since {at}"),
    "alarm_told": ("最近一次通知 {at}", "last told at {at}"),
    "alarm_untold": ("尚未通知任何人", "nobody was told yet"),
    "alarm_read": ("运维手册：{paragraph}", "in the operator's guide: {paragraph}"),
    "alarms_over": ("已解除的告警", "Alarms that are over"),
    "alarm_what": ("告警", "Alarm"),
    "alarm_from": ("开始", "From"),
    "alarm_until": ("解除", "Until"),
    "alarm_machine": ("机器", "Machine"),
    "alarm_acknowledge": ("确认已处理", "It is dealt with"),
    "alarm_acknowledge_consequence": (
        "确认后这条告警在半分钟内解除，不再提醒。请先核对备份之后登记的标识已经补登。",
        "The alarm then ends within half a minute and is not told again. First see that what was registered after the"
        " backup is registered again.",
    ),
    "done_alarm_acknowledged": ("已确认，告警将在半分钟内解除。", "Noted; the alarm ends within half a minute."),
}
