"""Statistics: what the counters count, and what the log is known to lack."""

from schemas.texts.table import Text

_CHECK_ZH = "运营方可由解析日志和标识历史重新计算任意一天，并逐项核对。"
_CHECK_EN = "The operator can compute any day again from the log and the identifiers' history, and compare."
_REBUILD_EN = "The figures that were counted stand; name the gap where they are reported."
_REBUILD_ZH = "已计入的数字有效；上报这些数字时请注明该缺口。"

_BROKEN_ZH = "请从备份恢复该日的记录，并查明谁改动了数据库；上级节点收到过的封印可作比对。"
_BROKEN_EN = (
    "Restore the day's rows from a backup and find out who changed the database; the seals that were reported upwards"
    " can be compared."
)
_DOSSIER_ZH = "接入日期、状态和办理记录见该企业的页面。"
_DOSSIER_EN = "The page of each enterprise shows the day, the state and the decisions."

# Headings of tables of figures: Chinese, English.
COLUMNS: dict[str, tuple[str, str]] = {
    "registered_new": ("新注册标识数", "New identifiers"),
    "range_minted": ("其中号段成员", "Of these members of ranges"),
    "registered_total": ("累计注册标识数", "Identifiers in all"),
    "registered_live": ("存量标识数", "Live identifiers"),
    "retired_total": ("已停用标识数", "Retired identifiers"),
    "resolutions": ("解析量", "Resolutions"),
    "resolutions_ok": ("成功解析量", "Successful resolutions"),
    "resolutions_uncounted": ("不计入的查询", "Not counted"),
    "resolutions_foreign": ("对外部前缀的查询", "Foreign prefixes"),
    "resolutions_foreign_ok": ("其中成功答复", "Of these answered"),
    "enterprises_connected": ("接入企业数", "Enterprises connected"),
    "enterprises_new": ("新接入企业数", "Newly connected"),
    "enterprises_with_identifiers": ("有注册标识的企业", "With identifiers"),
    "enterprises_active": ("近 30 天有解析的企业", "Resolved in the last 30 days"),
    "enterprises_suspended": ("暂停企业", "Suspended"),
    "enterprises_departed": ("退出企业", "Departed"),
    "enterprise_id": ("企业编号", "Enterprise no."),
    "enterprise": ("企业", "Enterprise"),
    "certificate_code": ("统一社会信用代码", "Social credit code"),
    "prefix": ("企业前缀", "Prefix"),
    "unit_id": ("单位编号", "Unit no."),
    "unit": ("上报单位", "Unit"),
    "division_code": ("行政区划代码", "Division code"),
    "area": ("行政区划", "Area"),
    "industry": ("行业代码", "Industry code"),
    "industry_name": ("行业", "Industry"),
    "connected_on": ("接入日期", "Connected on"),
    "standing": ("状态", "Standing"),
    "kind": ("标签类别", "Kind of tag"),
    "tag": ("标签", "Tag"),
    "template_id": ("模板编号", "Template no."),
    "version": ("模板版本", "Template"),
    "stage": ("环节", "Stage"),
    "templates": ("模板数", "Templates"),
    "day": ("日期", "Day"),
}

LABELS: dict[str, tuple[str, str]] = {
    "provisional": ("暂定（数字仍会变化）", "provisional (the figures still change)"),
    "sealed": ("已封存，封印 {seal}", "sealed, {seal}"),
    "all_zero": ("各行均为 0：{columns}", "0 in every row: {columns}"),
    "other_prefixes": ("非本节点前缀", "not ours"),
    "other_addresses": ("其余地址", "all others"),
    "nobody_asked": ("{day} 没有解析记录。", "Nobody asked on {day}."),
    "sealed_before": (
        "早于本节点的第一个前缀，数字不再变化，没有封印",
        "final: before the first prefix of this node, there is no seal",
    ),
    "clock_confirmed": ("已确认时钟无误：{at}", "The clock is taken as right: {at}"),
    "no_seals": ("这段时间没有已封账的日子。", "No day of this time is closed."),
    "revised_days": (
        "已修订 {count} 天，末日 {day}，封印 {seal}",
        "{count} stated again, the last is {day}, seal {seal}",
    ),
    "closed_days": ("已封账 {count} 条，最后一条 {day}，封印 {seal}", "{count} closed, the last is {day}, seal {seal}"),
    "closed_already": ("{day} 此前已封账", "{day} was closed before"),
    "nothing_to_revise": ("{day}：计数器与封账记录一致，无需修订", "{day}: the counters are what was stated"),
    "seals_hold": ("封印全部成立：{chains}", "All seals hold: {chains}"),
    "late_days": ("有迟到数据、待修订的日期：{days}", "Days with late figures that wait for a revision: {days}"),
    "exported": ("已写入 {path}", "Wrote {path}"),
    "sum": ("合计", "Sum"),
    "period": ("统计期", "Period"),
    "since_beginning": ("自始", "since the beginning"),
    "as_of": ("数据时点", "As of"),
    "status": ("性质", "Status"),
    "seal": ("封印", "Seal"),
    "sealed_until": ("封账至", "Sealed until"),
    "revisions": ("修订", "Revisions"),
    "definitions": ("统计口径", "Definitions"),
    "check": ("合计核对", "Sum check"),
    "check_holds": ("相符", "holds"),
    "check_fails": ("不符：{columns}", "does not hold: {columns}"),
    "check_not_for_tags": ("不适用：企业可有多个标签", "not applicable: an enterprise may have several tags"),
    "limited_to": ("范围", "Limited to"),
    "figures": ("数据", "Figures"),
    "page": ("第 {number} 页，共 {total} 页", "Page {number} of {total}"),
    "pdf_title": ("统计数据（按{by}），{first} 至 {last}", "Figures by {by}, {first} to {last}"),
}

TEXTS: dict[str, Text] = {
    "counter_registered_new": Text(
        "期内新注册的标识数：首次成功创建（单个、批量、导入，以及号段的每个成员）；失败、重复、更新、恢复不计。",
        "Identifiers first created in the period: singly, in batches, from files, and every member of a range;"
        " not failures, repetitions, updates or restorations.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_range_minted": Text(
        "新注册标识中属于号段成员的部分。",
        "Those of the new identifiers that are members of ranges.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_registered_total": Text(
        "截至期末累计注册的标识数；停用不减少。",
        "Identifiers ever created, up to the end of the period; retiring takes nothing away.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_registered_live": Text(
        "截至期末存量标识数：累计注册减去已停用；冻结的仍计入。",
        "Identifiers created and not retired, at the end of the period; frozen ones are among them.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_retired_total": Text(
        "截至期末处于停用状态的标识数。",
        "Identifiers that are retired at the end of the period.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions": Text(
        "对本节点标识的每一次已答复的查询，无论是否找到；自查、探测和沙箱流量除外。",
        "Answered questions about identifiers of this node, found or not; not those of owners, probes and sandboxes.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_ok": Text(
        "答复中至少有一个值，或给出了有效转介。",
        "Resolutions answered with at least one value or a valid referral.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_uncounted": Text(
        "不计入解析量、单独列出的查询：所有者自查、探测；沙箱不在其内。",
        "Answered questions of owners and probes, shown apart from resolutions; sandboxes are in neither.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_foreign": Text(
        "对不属于本节点的前缀的查询，单独列出。",
        "Answered questions about prefixes that are not of this node, shown apart.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_resolutions_foreign_ok": Text(
        "其中成功答复的部分：转发到其他节点后得到答复。",
        "Those of them that were answered, by asking another node.",
        _CHECK_ZH,
        _CHECK_EN,
    ),
    "counter_enterprises_connected": Text(
        "截至期末至少有一个启用前缀的不同统一社会信用代码的数目，按接入日期计；已暂停和已退出的单列。",
        "Distinct social credit codes with at least one enabled prefix, by the day on which they were connected;"
        " not those suspended or departed.",
        _DOSSIER_ZH,
        _DOSSIER_EN,
    ),
    "counter_enterprises_new": Text(
        "期内新接入企业数：接入日期在统计期内。",
        "Enterprises whose day of connection lies in the period.",
        _DOSSIER_ZH,
        _DOSSIER_EN,
    ),
    "counter_enterprises_with_identifiers": Text(
        "接入企业中至少注册过一个标识的。",
        "Connected enterprises that have registered at least one identifier.",
        _DOSSIER_ZH,
        _DOSSIER_EN,
    ),
    "counter_enterprises_active": Text(
        "接入企业中，截至期末最近 {days} 天内标识被解析过的。",
        "Connected enterprises with a resolution within the last {days} days of the period.",
        _DOSSIER_ZH,
        _DOSSIER_EN,
    ),
    "counter_enterprises_suspended": Text(
        "期末处于暂停状态的企业：企业被暂停，或其前缀全部停用。",
        "Enterprises that are suspended at the end of the period, or whose prefixes are all stopped.",
        _DOSSIER_ZH,
        _DOSSIER_EN,
    ),
    "counter_enterprises_departed": Text(
        "截至期末已退出的企业：企业已注销，或其前缀已全部转出。",
        "Enterprises that are closed at the end of the period, or have given all their prefixes away.",
        _DOSSIER_ZH,
        _DOSSIER_EN,
    ),
    "statistics_grouping_unknown": Text(
        "不能按“{by}”统计。",
        "There are no statistics by “{by}”.",
        "可选：{groupings}。",
        "Choose one of {groupings}.",
    ),
    "statistics_level_unknown": Text(
        "没有第 {level} 级，共 {levels} 级。",
        "There is no level {level}; there are {levels}.",
        "行业：1 门类、2 大类、3 中类、4 小类；区划：1 省、2 市、3 县区。",
        "Industries: 1 section, 2 division, 3 group, 4 class; areas: 1 province, 2 city, 3 county.",
    ),
    "statistics_period_unknown": Text(
        "没有名为 {period} 的统计期。",
        "There is no period {period}.",
        "可用的统计期：{periods}；其他日期用 --from 和 --to。",
        "There are {periods}; --from and --to name any other days.",
    ),
    "statistics_day_out_of_bounds": Text(
        "日期 {day} 不在 {earliest} 至 {latest} 之间。",
        "The day {day} is not from {earliest} to {latest}.",
        "请改为其间的日期；省略首日即从有数据之日起，省略末日即到今天。",
        "Give one of them; left out, the first is the first with figures and the last is today.",
    ),
    "statistics_period_reversed": Text(
        "统计期的首日 {first} 晚于末日 {last}。",
        "The period begins on {first}, after its end on {last}.",
        "请交换两个日期。",
        "Exchange the two days.",
    ),
    "statistics_not_for_partners": Text(
        "合作伙伴账户不能查看统计。",
        "Partners see no statistics.",
        "请向企业或运营方索取所需数字。",
        "Ask the enterprise or the operator for the figures you need.",
    ),
    "statistics_without_area": Text(
        "该账户没有指定辖区，不能查看统计。",
        "This account has no area, so it sees no statistics.",
        "请运营方为账户指定行政区划。",
        "Ask the operator to give the account a division.",
    ),
    "division_not_yours": Text(
        "该行政区划或单位不在您的辖区内。",
        "This division or unit is not in your area.",
        "请选择辖区内的区划，或不填。",
        "Name one of your own area, or none.",
    ),
    "day_not_closed": Text(
        "{day} 没有封账。",
        "{day} is not closed.",
        "次日零点五分之后封账；当日数字见“统计”。",
        "Days are closed at five past midnight; the statistics have the figures of the running day.",
    ),
    "export_format_unknown": Text(
        "不能导出为“{file}”。",
        "Cannot export to “{file}”.",
        "文件名请以 .csv、.xlsx、.pdf 或 .json 结尾。",
        "Let the name end with .csv, .xlsx, .pdf or .json.",
    ),
    "pdf_font_missing": Text(
        "这台机器上没有可嵌入 PDF 的中文字体，未生成文件。",
        "There is no Chinese font on this machine that a PDF can embed; no file was made.",
        "请安装：apt-get install {package}（Debian、Ubuntu），dnf install wqy-microhei-fonts（Fedora、openEuler）；"
        "或用 IDNODE_PDF_FONT 指定含中文的 TrueType 字体文件。无需重启。",
        "Install one: apt-get install {package} (Debian, Ubuntu), dnf install wqy-microhei-fonts (Fedora, openEuler);"
        " or name a TrueType font file with Chinese by IDNODE_PDF_FONT. No restart is needed.",
    ),
    "pdf_font_unusable": Text(
        "字体文件 {path} 不能用于 PDF（{reason}），未生成文件。",
        "The font file {path} cannot be used for PDF ({reason}); no file was made.",
        "需要含中文的 TrueType 字体（不能是 OTF/CFF）：去掉 IDNODE_PDF_FONT 并 apt-get install {package}，"
        "或改指其他文件。",
        "It takes a TrueType font with Chinese (not OTF/CFF): unset IDNODE_PDF_FONT and apt-get install {package}, or"
        " name another file.",
    ),
    "close_day_running": Text(
        "{day} 尚未结束，不能封账。",
        "{day} is not over and cannot be closed.",
        "请在次日零点五分之后封账；当日数字用 idnode close --provisional 查看。",
        "Close it after five past midnight; idnode close --provisional shows what the day has so far.",
    ),
    "close_clock_doubted": Text(
        "本机时钟（{at}）比应有的时间超前 {hours} 小时，不能封账 {day}。",
        "The clock of this machine ({at}) is {hours} hours ahead of what it can be; {day} is not closed.",
        "请核对时钟；确认无误（例如停机数日后启动）后加 --confirm-clock。",
        "Check the clock; if it is right (the machine was off for days), add --confirm-clock.",
    ),
    "close_before_beginning": Text(
        "{day} 早于本节点第一个前缀的建立日期，无账可封。",
        "{day} lies before the first prefix of this node: there is nothing to close.",
        "请选择之后的日期；idnode seal list 列出已封账的日期。",
        "Name a later day; idnode seal list tells which are closed.",
    ),
    "close_log_not_counted": Text(
        "{day} 的日志尚未全部计数：{missing}。",
        "The log of {day} is not all counted: {missing}.",
        "请确认各台机器上的 agent 正在运行，稍后再试；确实等不到时加 --incomplete，所缺部分会记入封账记录，留待修订。",
        "See that the agent of every machine runs and try again. If it cannot be waited for, --incomplete closes the"
        " day and names what is missing, which becomes a revision later.",
    ),
    "revision_without_reason": Text(
        "修订必须说明原因。",
        "A revision needs a reason.",
        "请用 --reason 写明原因。",
        "Give it with --reason.",
    ),
    "seal_sequence_broken": Text(
        "{node_prefix} {day} 第 {revision} 版：封账序号不连续，其前有记录被删除或插入。",
        "{node_prefix} {day} revision {revision}: the sequence has a hole or a doubled number before it.",
        _BROKEN_ZH,
        _BROKEN_EN,
    ),
    "seal_link_broken": Text(
        "{node_prefix} {day} 第 {revision} 版：前一个封印与链上的不符。",
        "{node_prefix} {day} revision {revision}: the seal before it is not the one it names.",
        _BROKEN_ZH,
        _BROKEN_EN,
    ),
    "seal_day_missing": Text(
        "{node_prefix} {day} 之前缺少日期。",
        "{node_prefix}: a day is missing before {day}.",
        _BROKEN_ZH,
        _BROKEN_EN,
    ),
    "seal_end_missing": Text(
        "{node_prefix}：链的末端被截断，或末端记录被改动（现存最后一天 {day}）。",
        "{node_prefix}: the end of the chain was cut off, or what is noted of it was changed (last day there: {day}).",
        _BROKEN_ZH,
        _BROKEN_EN,
    ),
    "seal_seal_broken": Text(
        "{node_prefix} {day} 第 {revision} 版：现存 {rows} 行（封账时 {sealed_rows} 行）与封印不符，"
        "有行被改动、删除或插入。",
        "{node_prefix} {day} revision {revision}: its {rows} rows ({sealed_rows} were sealed) or its head are not what"
        " was sealed.",
        _BROKEN_ZH,
        _BROKEN_EN,
    ),
    "seal_rows_unsealed": Text(
        "{node_prefix} {day} 第 {revision} 版：{rows} 行不属于任何封账记录。",
        "{node_prefix} {day} revision {revision}: {rows} rows belong to no statement.",
        _BROKEN_ZH,
        _BROKEN_EN,
    ),
    "seal_difference": Text(
        "{prefix} {day} {measure}：封账记录为 {stated}，计数器为 {counted}。",
        "{prefix} {day} {measure}: stated {stated}, counted {counted}.",
        "用 idnode stats recompute --day {day} 由日志核对；计数器正确时用 "
        "idnode close --day {day} --revise --reason 原因。",
        "idnode stats recompute --day {day} checks the counters; if they are right, idnode close --day {day} --revise"
        " --reason R states them.",
    ),
    "log_gap_no_room": Text(
        "{from_at} 至 {to_at} 磁盘已满，{missing} 次解析未能记入日志（分段 {segment}）。",
        "The disk was full from {from_at} to {to_at}: {missing} answers were not logged (segment {segment}).",
        "请清理磁盘；" + _REBUILD_ZH,
        "Make room on the disk. " + _REBUILD_EN,
    ),
    "log_gap_damaged": Text(
        "解析日志分段 {segment} 自 {from_at} 之后损坏（{details}），其后的记录无法读出。",
        "Segment {segment} of the resolution log is damaged after {from_at} ({details}); the rest cannot be read.",
        "请检查磁盘；该文件保留备查。" + _REBUILD_ZH,
        "Check the disk; the file is kept. " + _REBUILD_EN,
    ),
    "log_gap_lost": Text(
        "解析日志分段 {segment}（{from_at} 至 {to_at}）的文件已不存在；其中 {missing} 次解析此前已计入。",
        "The file of segment {segment} ({from_at} to {to_at}) is gone; {missing} answers of it had been counted.",
        "如有副本请放回日志目录。" + _REBUILD_ZH,
        "Put a copy back into the log directory if there is one. " + _REBUILD_EN,
    ),
    "log_gap_purged_for_room": Text(
        "因磁盘已满，已计数的解析日志分段 {segment}（{from_at} 至 {to_at}，{missing} 次解析）被提前清除。",
        "The disk was full: segment {segment} ({from_at} to {to_at}, {missing} answers, all counted) was purged early.",
        "请清理磁盘；法规要求日志留存六个月。",
        "Make room on the disk; the law wants the log kept for six months.",
    ),
}
