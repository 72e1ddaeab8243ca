"""What can be wrong with whole ranges, batches, streams of writes, sandboxes and exports."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "range_not_found": Text(
        "没有以 {first} 起始的号段。",
        "There is no range that begins with {first}.",
        "请填写号段的第一个号码；号段列表中都有。",
        "Give the first serial of the range; the list of ranges has it.",
    ),
    "range_retired": Text(
        "以 {first} 起始的号段已停用，后继：{successor}。",
        "The range that begins with {first} is retired; successor: {successor}.",
        "如需继续使用，请先恢复该号段。",
        "Restore the range to use it again.",
    ),
    "range_not_retired": Text(
        "以 {first} 起始的号段未停用。",
        "The range that begins with {first} is not retired.",
        "只有停用的号段才能恢复。",
        "Only a retired range can be restored.",
    ),
    "range_is_frozen": Text(
        "以 {first} 起始的号段已冻结，公告为“{notice}”。",
        "The range that begins with {first} is frozen with the notice “{notice}”.",
        "请先解冻，再修改其内容。",
        "Unfreeze it before changing it.",
    ),
    "range_held": Text(
        "以 {first} 起始的号段由节点运营方冻结（公告：{notice}）。",
        "The range that begins with {first} was frozen by the operator of the node ({notice}).",
        "只有节点运营方可以解冻、停用或更换公告，请与其联系。",
        "Only the operator can unfreeze or retire it, or change the notice: ask him.",
    ),
    "range_not_frozen": Text(
        "以 {first} 起始的号段未冻结。",
        "The range that begins with {first} is not frozen.",
        "只有冻结的号段才需要解冻。",
        "Only a frozen range can be unfrozen.",
    ),
    "range_changed_meanwhile": Text(
        "以 {first} 起始的号段已被他人修改，当前版本为 {revision}。",
        "The range that begins with {first} was changed by someone else; its revision is now {revision}.",
        "请重新读取后再修改。",
        "Read it again, then repeat your change.",
    ),
    "member_twice": Text(
        "“{field}”在同一个对象中出现了两次。",
        "“{field}” stands twice in one object.",
        "每个成员只写一次。",
        "Give every member once.",
    ),
    "line_not_json": Text(
        "该行不是一个 JSON 对象，或成员类型有误。",
        "The line is not a JSON object with members of the right types.",
        '每行写一个对象，例如 {{"suffix": "PUMP-0000001", "values": {{"model": "WQ15"}}}}。',
        'Write one object per line, such as {{"suffix": "PUMP-0000001", "values": {{"model": "WQ15"}}}}.',
    ),
    "line_too_long": Text(
        "该行超过 {limit} 字节。",
        "The line is longer than {limit} bytes.",
        "请缩短内容；大段数据请放在链接指向的文件中。",
        "Make it shorter; put what is large into a file and register its address.",
    ),
    "body_gzip_broken": Text(
        "请求体不是完整的 gzip 数据，未写入任何内容。",
        "The body is not whole gzip data; nothing was written.",
        "请重新压缩并发送，或去掉 Content-Encoding。",
        "Compress and send it again, or leave Content-Encoding out.",
    ),
    "content_encoding_wrong": Text(
        "不支持内容编码 {kind}。",
        "Content encoded as {kind} is not read here.",
        "请使用 gzip 或不压缩。",
        "Use gzip, or none.",
    ),
    "sandbox_is_fixed": Text(
        "{prefix} 是沙箱前缀，随企业启停，不审批、不转移、不改托管方式。",
        "{prefix} is a sandbox: it follows its enterprise, and is not decided on, moved or hosted elsewhere.",
        "请对正式前缀进行此操作。",
        "Do this with a prefix that was allotted.",
    ),
    "sandbox_none": Text(
        "企业 {enterprise} 没有沙箱。",
        "The enterprise {enterprise} has no sandbox.",
        "用 idnode sandbox list 查看已有沙箱，用 idnode sandbox open 开通。",
        "See idnode sandbox list; idnode sandbox open makes one.",
    ),
}

# What the commands print: Chinese, English.
LABELS: dict[str, tuple[str, str]] = {
    "range_state": (
        "号段 {first} 至 {last}：{state}，涉及 {touched} 个标识，{own_records} 个有自己的记录、未受影响",
        "Range {first} to {last}: {state}; {touched} identifiers, {own_records} more have records of their own",
    ),
    "sandbox_emptied": ("{prefix}：已删除 {deleted} 条", "{prefix}: {deleted} deleted"),
    "exported": ("已导出到 {file}（{bytes} 字节）", "Exported to {file} ({bytes} bytes)"),
}
