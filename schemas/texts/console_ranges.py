"""Words of the console about whole ranges: Chinese, English."""

RANGE_LABELS: dict[str, tuple[str, str]] = {
    "all_ranges": ("全部号段", "All ranges"),
    "no_ranges": ("还没有号段", "There is no range yet"),
    "no_ranges_text": ("连续序列号可以一次注册整个号段。", "A run of serials can be registered as one range."),
    "range_of": ("共 {n} 个标识", "{n} identifiers"),
    "range_is_retired": ("该号段已停用", "This range is retired"),
    "own_records_n": ("其中 {n} 个标识有自己的内容。", "With records of their own: {n} of them."),
    "own_records_text": (
        "它们单独修改过，不随号段改变。",
        "They were changed one by one and stay as they are.",
    ),
    "range_first_alone": ("只看首号这一个标识", "The first serial alone"),
    "change_range": ("修改整个号段", "Change the whole range"),
    "range_change_consequence": (
        "{n} 个标识立即显示新的内容；原内容保留在历史中。",
        "{n} identifiers show the new values at once; the present ones stay in the history.",
    ),
    "freeze_range_title": ("冻结整个号段", "Freeze the whole range"),
    "freeze_range_button": ("冻结号段", "Freeze the range"),
    "freeze_range_consequence": (
        "{n} 个标识仍可解析，但最上方显示公告；解冻前不能修改。",
        "{n} identifiers still resolve, with the notice on top; nothing can be changed until it is lifted.",
    ),
    "unfreeze_range_title": ("解冻整个号段", "Unfreeze the whole range"),
    "unfreeze_range_button": ("解冻号段", "Unfreeze the range"),
    "unfreeze_range_consequence": ("{n} 个标识不再显示公告。", "The notice disappears from {n} identifiers."),
    "retire_range_title": ("停用整个号段", "Retire the whole range"),
    "retire_range_button": ("停用号段", "Retire the range"),
    "retire_range_consequence": (
        "{n} 个标识解析时只显示已停用，内容不再可见；号码不再分配。可以恢复。",
        "{n} identifiers answer that they are retired and show no values; they are never issued again."
        " This can be undone.",
    ),
    "restore_range_title": ("恢复整个号段", "Restore the whole range"),
    "restore_range_button": ("恢复号段", "Restore the range"),
    "restore_range_consequence": (
        "{n} 个标识恢复到停用前的状态：内容不变，若当时已冻结则仍显示公告。",
        "{n} identifiers are as they were: the values they had, and the notice if they were frozen.",
    ),
    "confirm_members": ("确认标识数量", "How many identifiers, to confirm"),
    "hint_confirm_members": ("请输入 {n}。", "Type {n}."),
    "done_range_changed": ("号段已修改。", "The range is changed."),
    "done_range_freeze": ("号段已冻结。", "The range is frozen."),
    "done_range_unfreeze": ("号段已解冻。", "The range is unfrozen."),
    "done_range_retire": ("号段已停用。", "The range is retired."),
    "done_range_restore": ("号段已恢复。", "The range is restored."),
}
