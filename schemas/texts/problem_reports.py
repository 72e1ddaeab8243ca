"""Problem reports: what can be wrong with one, and the words of their pages (Chinese, English)."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "problem_identifier_unknown": Text(
        "本节点没有登记编码“{identifier}”。",
        "The code “{identifier}” is not registered at this node.",
        "请核对编码是否完整；若它印在产品上却查不到，产品可能并非正品，请联系销售方，或拨打 12315 投诉。",
        "Check whether it is complete. A code on goods that is not registered may be a counterfeit: ask the seller,"
        " or the market authority (in China: 12315).",
    ),
    "problem_description_missing": Text(
        "请说明是什么问题。",
        "Say what the problem is.",
        "选择“其他”时需要几句说明。",
        "A few words are needed where none of the other choices fits.",
    ),
    "problem_text_too_long": Text(
        "内容有 {length} 个字符，最多 {limit} 个。",
        "This has {length} characters; at most {limit} are possible.",
        "请写得简短一些。",
        "Write less.",
    ),
    "problem_text_hidden": Text(
        "内容含有不可见的控制字符 {character}。",
        "The text holds the invisible control character {character}.",
        "请删去该字符，或直接键入内容。",
        "Remove it, or type the text instead of pasting it.",
    ),
    "problem_slow_down": Text(
        "该地址提交的反馈过多，请在 {minutes} 分钟后再试。",
        "Too many reports from this address: try again in {minutes} minutes.",
        "一小时内最多提交 10 条；成批的问题请直接联系企业。",
        "Ten an hour are taken; for many codes at once, write to the enterprise itself.",
    ),
    "problem_known": Text(
        "编码 {identifier} 的问题今天已有许多人反馈，企业和运营方均已收到。",
        "Many people have reported {identifier} today; the enterprise and the operator know.",
        "无需重复提交；如有新的情况，请明天再试。",
        "There is no need to report it again; come back tomorrow if you know something new.",
    ),
    "problem_not_found": Text(
        "没有编号为 {number} 的问题反馈。",
        "There is no problem report {number}.",
        "请从反馈列表中打开。",
        "Open it from the list of reports.",
    ),
    "problem_state_already": Text(
        "反馈 {number} 已处于该状态。",
        "Report {number} is in that state already.",
        "可能有同事刚刚处理过，请刷新。",
        "A colleague may have been faster; reload the page.",
    ),
    "problem_note_missing": Text(
        "请写下处理结果。",
        "Say what was found or done.",
        "办结或重新打开时需要说明，运营方也会看到。",
        "Closing and opening again need a note; the operator reads it, too.",
    ),
}

# Words of the pages.
PROBLEM_LABELS: dict[str, tuple[str, str]] = {
    # the page anybody may use
    "report_problem": ("反馈编码问题", "Report a problem with this code"),
    "report_problem_text": (
        "您的反馈会送达产品所属企业和本节点运营方。",
        "Your report reaches the enterprise the product belongs to, and the operator of this node.",
    ),
    "report_unknown": ("查不到这个编码", "This code is not known here"),
    "report_kind": ("是什么问题？", "What is wrong?"),
    "report_kind_mismatch": ("信息与产品不符", "It does not match the product"),
    "report_kind_counterfeit": ("怀疑是假冒产品", "I suspect a counterfeit"),
    "report_kind_data": ("信息有误或缺失", "Data are wrong or missing"),
    "report_kind_damaged": ("编码破损或难以识别", "The code is damaged or hard to read"),
    "report_kind_other": ("其他", "Something else"),
    "report_description": ("说明", "What did you see?"),
    "hint_report_description": (
        "例如：标签上的型号与实物不同；购买地点和时间。最多 1000 字。",
        "For instance: the model on the label is not that of the product; where and when you bought it. Up to 1,000"
        " characters.",
    ),
    "report_contact": ("联系方式", "How to reach you"),
    "hint_report_contact": (
        "电话或邮箱。仅供企业或运营方回复您，加密保存，办结半年后删除。",
        "Telephone or e-mail, for an answer alone. Kept encrypted; deleted half a year after the report is closed.",
    ),
    "report_send": ("提交反馈", "Send the report"),
    "reported": ("反馈已收到", "Your report has arrived"),
    "reported_number": ("编号", "Number"),
    "reported_next": (
        "企业和节点运营方会核实。留有联系方式的，他们可能与您联系；查询时请提供编号。",
        "The enterprise and the operator look into it. If you left a way to reach you, they may ask you more; quote the"
        " number when you ask them.",
    ),
    "reported_danger": (
        "如产品可能危及人身安全，请立即停止使用，并拨打 12315 向市场监管部门投诉。",
        "If the product may be dangerous, stop using it and tell the market authority, too (in China: 12315).",
    ),
    "report_unseen": ("没有编码可供反馈", "There is no code to report on"),
    "report_how": (
        "请扫描产品上的码，在打开的页面中选择“反馈编码问题”。",
        "Scan the code on the product, and choose “Report a problem with this code” on the page that opens.",
    ),
    # the list
    "problem_reports": ("问题反馈", "Problem reports"),
    "problem_reports_text": (
        "扫码者对编码提出的问题：企业看到本企业的，运营与审核人员看到全部。",
        "What people who scanned a code say is wrong with it. A firm sees its own, operator and reviewers see all.",
    ),
    "problems_none": ("没有问题反馈", "No problem reports"),
    "problems_none_text": (
        "扫码后打开的页面上有“反馈编码问题”，反馈会出现在这里。",
        "The page that opens after a scan leads to a form; what is sent there appears here.",
    ),
    "problems_waiting": ("{n} 条问题反馈待处理", "Problem reports waiting: {n}"),
    "problems_in_work": ("另有 {n} 条处理中。", "In work besides: {n}."),
    "problems_open": ("待处理的问题反馈", "Problem reports open"),
    "problem_kind": ("问题", "Problem"),
    "problem_kind_mismatch": ("信息与产品不符", "Does not match the product"),
    "problem_kind_counterfeit": ("疑似假冒", "Suspected counterfeit"),
    "problem_kind_data": ("信息有误或缺失", "Wrong or missing data"),
    "problem_kind_damaged": ("编码破损或难以识别", "Code damaged or hard to read"),
    "problem_kind_other": ("其他问题", "Other problem"),
    "problem_state_open": ("待处理", "open"),
    "problem_state_in_work": ("处理中", "in work"),
    "problem_state_closed": ("已办结", "closed"),
    # one of them
    "problem_report": ("问题反馈 {n}", "Problem report {n}"),
    "problem_said": ("反馈内容", "What was said"),
    "problem_said_nothing": ("反馈者没有补充说明。", "Nothing was added."),
    "problem_code": ("编码现状", "The code now"),
    "problem_code_gone": (
        "该标识已不存在（沙箱每日清空）。",
        "The identifier is gone (sandboxes are emptied every day).",
    ),
    "problem_at": ("反馈时间", "Reported"),
    "problem_contact": ("反馈者的联系方式", "How to reach the reporter"),
    "problem_contact_none": ("没有留下联系方式。", "No way to reach them was left."),
    "problem_contact_masked": ("已留下，加密保存。", "Left, and kept encrypted."),
    "problem_contact_see": ("查看联系方式", "See how to reach them"),
    "problem_contact_consequence": (
        "联系方式是个人信息：您的姓名、时间和原因将写入审计记录。",
        "This is personal data: your name, the time and the reason go into the audit trail.",
    ),
    "problem_handle": ("处理", "What happens with it"),
    "problem_take": ("开始处理", "Take it in hand"),
    "problem_close": ("办结", "Close it"),
    "problem_reopen": ("重新打开", "Open it again"),
    "problem_note": ("处理说明", "Note"),
    "hint_problem_note": (
        "核实的结果和采取的措施。办结时必填；企业和运营方都能看到，反馈者看不到。",
        "What was found and done; needed to close it. The enterprise and the operator read it, the reporter does not.",
    ),
    "problem_course": ("处理经过", "What was done so far"),
    "problem_by": ("操作人", "By"),
    "problem_course_none": ("尚无人处理。", "Nobody has taken it in hand yet."),
    "problem_freeze": ("冻结此标识", "Freeze this identifier"),
    "problem_freeze_text": (
        "冻结后，扫码的人会先看到公告；内容不变，可随时解冻。",
        "Once frozen, whoever scans the code sees the notice first; values stay, and it can be unfrozen at any time.",
    ),
    "problem_freeze_reason": ("问题反馈 {n}", "Problem report {n}"),
    "done_problem_open": ("反馈已重新打开。", "The report is open again."),
    "done_problem_in_work": ("反馈已标为处理中。", "The report is in work."),
    "done_problem_closed": ("反馈已办结。", "The report is closed."),
}

# Proposed to whoever freezes because of a report. Whoever scans reads the one notice there is.
PROPOSED_NOTICES: dict[str, str] = {
    "mismatch": (
        "该编码的信息可能与产品不符，企业正在核实，使用前请与企业确认。"
        " / What is said here may not match the product; the manufacturer is checking. Ask before you use it."
    ),
    "counterfeit": (
        "该编码可能被假冒产品冒用，企业正在核实，请勿购买或使用，并与企业联系。"
        " / This code may have been copied onto counterfeits; the manufacturer is checking. Do not buy or use the"
        " product before you have asked."
    ),
    "data": (
        "该编码的信息可能有误，企业正在核实更正。"
        " / What is said here may be wrong; the manufacturer is checking and will correct it."
    ),
    "damaged": (
        "该编码的标签可能破损或贴错，企业正在核实。"
        " / The label with this code may be damaged or on the wrong product; the manufacturer is checking."
    ),
    "other": (
        "该编码有待核实的问题，使用前请与企业确认。"
        " / There is an open question about this code. Ask the manufacturer before you use the product."
    ),
}
