"""More sentences of the API reference in Chinese: whole ranges, batches, streams, sandboxes, exports."""

NATIVE: dict[str, str] = {
    # Ranges
    "One range": "一个号段",
    "By its first serial, as everything about one range.": "与其他号段操作一样，以其第一个号码指定。",
    "Every revision of a range": "号段的全部历史",
    "Newest first, with how many members each change was about.": "新的在前，并列出每次变更涉及的标识数。",
    "Change the values of a whole range": "修改整个号段的值",
    "Values that are not named stay; null or an empty text removes one. Members with records of their own stay.": (
        "未提到的值不变；null 或空文本删除该项。已有自己记录的成员不受影响。"
    ),
    "Retire a whole range": "停用整个号段",
    "All members answer 410 from now on, with one successor if there is one, and none is ever issued again.": (
        "此后全部成员返回 410 及共同的后继标识（如有），并且永远不会再次发放。"
    ),
    "Restore a retired range": "恢复停用的号段",
    "Its members are as they were: live, or frozen with the notice.": (
        "成员恢复到停用前的状态：正常，或冻结并显示原公告。"
    ),
    "Freeze a whole range with a notice": "冻结整个号段并公告",
    "All members answer with the notice beside their values; the range cannot be changed meanwhile.": (
        "解析任一成员时在内容旁显示公告；冻结期间不能修改该号段。"
    ),
    "Unfreeze a range": "解冻号段",
    # Batches and streams
    "Change up to 10,000 identifiers in one call": "一次变更最多 10,000 个标识",
    "Every item is answered by itself. What is so already is `unchanged`, so the same call twice does no harm.": (
        "逐个给出结果。已经如此的记为 `unchanged`，重复调用不会有害。"
    ),
    "Resolve up to 10,000 identifiers": "一次解析最多 10,000 个标识",
    "Of any prefixes, as far as the caller may see each; every one is answered, and counted, by itself.": (
        "前缀不限，按调用者对各标识的权限显示；逐个应答，逐个计数。"
    ),
    "Write any number of identifiers as a stream": "以数据流写入任意数量的标识",
    "Every line is answered by itself: row, identifier, outcome, and code, reason and remedy where there is one.\n\n"
    "The last line holds the counts: without it the answer is not complete. Send the same again under the same\n"
    "Idempotency-Key: what was done is told as it was done, the rest is carried out. 2,000 lines a transaction.": (
        "逐行应答：行号、标识、结果，以及（如有）代码、原因和处理办法。最后一行是合计：没有它，应答就不完整。"
        "以相同的 Idempotency-Key 重发同样的内容：已完成的如实告知，其余的继续执行。每 2,000 行一个事务。"
    ),
    "Needed to create; moves to it on update.": "登记时必填；修改时改用该模板。",
    "Create: overwrite identifiers that exist with other values.": "登记：覆盖内容不同的已有标识。",
    "Update: values that are not named are removed.": "修改：未提到的值删除。",
    "Retire: for lines without one.": "停用：用于没有自带后继标识的行。",
    "Freeze: for lines without one.": "冻结：用于没有自带公告的行。",
    "Stands in the history.": "写入历史。",
    # Sandboxes
    "Open a sandbox": "开通沙箱",
    "One for each enterprise; 200 if there is one already. It works like any prefix; nothing under it counts.\n\n"
    "Identifiers, ranges and templates under it are deleted every day at midnight (UTC+8).": (
        "每个企业一个；已有则返回 200。用法与正式前缀相同，但不计入任何统计。"
        "其下的标识、号段和模板每天零点（UTC+8）删除。"
    ),
    "List sandboxes": "列出沙箱",
    # Exports
    "Export everything an enterprise owns": "导出企业的全部数据",
    "Dossier, prefixes, templates, ranges, identifiers with private values, history and attachments.\n\n"
    "It goes out while it is read. An archive without `manifest.json` is not complete.": (
        "档案、前缀、模板、号段、标识（含私有值）、历史和附件。边读边发送；没有 `manifest.json` 的压缩包不完整。"
    ),
    "For the operator: whose.": "运营方使用：哪家企业。",
    "For the operator: why; it is recorded.": "运营方使用：原因，会留下记录。",
}
