"""The sentences of the API reference in Chinese, by their English in the OpenAPI document."""

from schemas.texts.account_reference import ACCOUNTS
from schemas.texts.application_reference import APPLICATIONS
from schemas.texts.certificate_reference import CERTIFICATES
from schemas.texts.native_reference import NATIVE
from schemas.texts.problem_reference import PROBLEMS
from schemas.texts.statistics_reference import STATISTICS

CHINESE: dict[str, str] = {
    **NATIVE,
    **PROBLEMS,
    **ACCOUNTS,
    **STATISTICS,
    **CERTIFICATES,
    **APPLICATIONS,
    # Groups of routes
    "node": "节点",
    "identifiers": "标识",
    "ranges": "号段",
    "templates": "数据模板",
    "enterprises": "企业",
    "prefixes": "企业前缀",
    "keys": "访问密钥",
    "jobs": "文件导入",
    "attachments": "附件",
    "statistics": "统计",
    # Identifiers
    "Register one identifier": "登记一个标识",
    "Register up to 10,000 identifiers": "一次登记最多 10,000 个标识",
    "Every item is answered by itself: a wrong one keeps none of the others from being registered.": (
        "逐个给出结果：其中一个有误不影响其他标识的登记。"
    ),
    "List, or read by query": "列出标识，或按查询参数读取",
    "Identifiers of one prefix that have records of their own, in order of suffix; ranges are listed apart.": (
        "一个前缀下有自己记录的标识，按后缀排序；号段另行列出。"
    ),
    "Read one identifier": "读取一个标识",
    "As far as the caller may see it: its owner and the operator everything, all others what is public.": (
        "按调用者的权限显示：所属企业和运营方可见全部，其他人只见公开内容。"
    ),
    "Replace all values": "替换全部值",
    "The record holds these values and no others.": "记录只保留这些值。",
    "Change some values": "修改部分值",
    "Values that are not named stay; null or an empty text removes one.": "未提到的值不变；null 或空文本删除该项。",
    "Retire an identifier": "停用标识",
    "It answers 410 with its successor from now on, and is never issued again.": (
        "此后返回 410 及其后继标识，并且永远不会再次发放。"
    ),
    "Restore a retired identifier": "恢复停用的标识",
    "It is as it was: live, or frozen with its notice.": "恢复到停用前的状态：正常，或冻结并显示原公告。",
    "Freeze an identifier with a notice": "冻结标识并公告",
    "It answers with the notice beside its values; nothing of it can be changed meanwhile.": (
        "解析时在内容旁显示公告；冻结期间不能修改。"
    ),
    "Unfreeze an identifier": "解除冻结",
    "The notice goes. What the operator froze, he alone unfreezes.": (
        "公告随之撤下。由运营方冻结的，只有运营方可以解冻。"
    ),
    "Every revision of an identifier": "标识的全部版本",
    "All revisions, newest first, for the owner and the operator.": "全部版本，新的在前；仅所属企业和运营方可见。",
    # Ranges
    "Ranges of a prefix": "一个前缀的号段",
    "In order of head and first serial.": "按开头和起始号排序。",
    "Register a range of serials": "登记一个号段",
    "All of them or none: a range that overlaps another, or holds an issued identifier, is refused.": (
        "要么全部登记，要么全不登记：与其他号段重叠或含有已发放标识的号段会被拒绝。"
    ),
    # Templates
    "Templates of a prefix": "一个前缀的模板",
    "Oldest first.": "旧的在前。",
    "Add a template": "添加模板",
    "201 if it is new, 200 if the same is there already; another one of this version is refused.": (
        "新模板返回 201，已有相同模板返回 200；同一版本的不同模板会被拒绝。"
    ),
    "One template": "一个模板",
    "Delete a template nobody uses": "删除无人使用的模板",
    "Refused while a live identifier uses it.": "有在用标识引用时拒绝删除。",
    "Widen or withdraw a template": "扩充或停用模板",
    "Items that are not sent stay; items may be added, enabled and disabled, and never change their meaning.\n\n"
    '`{"enabled": false}` withdraws the template from registering.': (
        '未提交的项不变；可以增加、启用或停用项，项的含义不变。`{"enabled": false}` 使模板不再用于登记。'
    ),
    # Enterprises
    "Apply for an enterprise": "提交企业申请",
    "Files a dossier with the prefix wanted. Somebody else decides on it.": "提交档案和申请的前缀，由他人审核。",
    "List enterprises": "企业列表",
    "An enterprise sees itself, the operator all.": "企业只见自己，运营方可见全部。",
    "Enter an enterprise with its key": "登记企业并发放访问密钥",
    "Enterprise, prefix and access key in one step, with `approve` approved on the record.": (
        "一步建立企业、前缀和访问密钥；带 `approve` 时同时审核通过并留痕。"
    ),
    "Connect the enterprises of a file": "从文件接入企业",
    "Checked wholly before anything is written, answered row by row; all or none.": (
        "先整体检查再写入，逐行给出结果；全部接入或全不接入。"
    ),
    "One enterprise with its to-do list": "一家企业及其待办",
    "Take an application for review": "开始审核",
    "Approve an application or a change": "审核通过申请或变更",
    "With its prefix. Nobody approves what he applied for himself.": "连同其前缀；任何人不得审核自己的申请。",
    "Refuse an application or a change": "驳回申请或变更",
    "A refused change leaves the approved dossier in force.": "变更被驳回时，原档案继续有效。",
    "File a refused application again": "重新提交被驳回的申请",
    "With a better dossier; a prefix no longer wanted becomes free.": "附改正后的档案；不再申请的前缀随之释放。",
    "Propose a changed dossier": "提交档案变更",
    "It waits for approval; until then the approved one stays in force.": "等待审核；通过之前原档案继续有效。",
    "Suspend an enterprise": "暂停企业",
    "No more writing; what is printed on goods keeps resolving.": "不能再写入；已印在产品上的标识继续可解析。",
    "End a suspension": "解除暂停",
    "Close an enterprise for good": "注销企业",
    "With its keys; its enabled prefixes have to be stopped or transferred before.": (
        "连同其访问密钥；启用中的前缀须先停用或转移。"
    ),
    "Record a real-name check": "记录实名核验结果",
    "Move to another unit or industry": "变更所属单位或行业",
    "What was counted before the day stays where it was.": "变更日之前的统计保留在原处。",
    "Give an enterprise exactly these tags": "设置企业标签",
    "Names that are new join the node's dictionary.": "新的名称会加入节点的标签字典。",
    "Show contact and legal person": "查看联系人和法定代表人",
    "To the enterprise itself; to the operator with a reason, which is recorded.": (
        "企业可查看自己的；运营方须写明原因并留痕。"
    ),
    # Prefixes
    "List prefixes": "前缀列表",
    "An enterprise sees its own, the operator all.": "企业只见自己的，运营方可见全部。",
    "Ask for a prefix": "申请前缀",
    "It waits for approval. An enterprise asks for itself, the operator for any.": (
        "等待审核。企业为自己申请，运营方可代任何企业申请。"
    ),
    "One prefix with its owners": "一个前缀及其历任所有者",
    "Decide on a prefix": "对前缀作出决定",
    "Only `resubmitted` is open to the enterprise; nobody approves what he asked for himself.": (
        "企业只能使用 `resubmitted`；任何人不得审核自己的申请。"
    ),
    "Keep a prefix here, or refer to its own server": "由本节点托管，或指向企业自建节点",
    "Give a prefix to another enterprise": "把前缀转移给另一家企业",
    "Units enterprises report under": "企业所属的乡镇和园区",
    "Add a unit": "添加乡镇或园区",
    "A town or park below a division; one that exists is returned.": "某行政区划下的乡镇或园区；已存在的直接返回。",
    "The dictionary of tags": "标签字典",
    "With the number of enterprises that carry each.": "附每个标签的企业数。",
    # Keys
    "List access keys": "访问密钥列表",
    "Without their secrets, revoked ones among them.": "不含密钥内容，包括已吊销的。",
    "Make an access key": "新建访问密钥",
    "The answer holds the secret, this once (and again for the same Idempotency-Key).": (
        "密钥内容只在此应答中出现一次（相同的 Idempotency-Key 会得到同一应答）。"
    ),
    "Revoke an access key": "吊销访问密钥",
    "It ends at once.": "立即生效。",
    # Jobs
    "List imports": "导入列表",
    "Newest first; an enterprise sees those of its prefixes.": "新的在前；企业只见自己前缀的导入。",
    "Upload a file of a dossier": "上传企业档案的附件",
    "JPEG, PNG or BMP up to 1 MB, PDF up to 5 MB. Its number goes into one member of one dossier within a day.": (
        "JPEG、PNG、BMP 不超过 1 MB，PDF 不超过 5 MB。返回的编号须在一天内填入一份档案的一个字段。"
    ),
    "List attachments": "列出附件",
    "An enterprise sees its own, operator and reviewers all.": "企业看到自己的，运营方和审核员看到全部。",
    "What is known of an attachment": "附件的信息",
    "Download an attachment": "下载附件",
    "As a file to save, never to be shown or run in the browser.": "作为文件保存，不在浏览器中显示或运行。",
    "The operator's, for identity documents; it is recorded.": "运营方查看身份证件时须写明原因，原因会被记录。",
    "Import a file": "导入文件",
    "CSV, NDJSON, XLSX or .xls. What is wrong with the file as a whole is said at once; rows are answered in the\n"
    "receipt. A dry run is a job like any other, which writes nothing.": (
        "CSV、NDJSON、XLSX 或 .xls。文件整体的问题立即返回，各行的结果见回执。试运行也是一个作业，但不写入任何数据。"
    ),
    "Progress of an import": "导入进度",
    "Stop an import": "停止导入",
    "Rows that were registered stay registered, with their outcomes.": "已登记的行保持登记，其结果保留。",
    "The receipt of an import": "导入回执",
    "Row, outcome, identifier, address, reason, then the file's own columns; once the import has ended.": (
        "行号、结果、标识、地址、原因，然后是文件自己的各列；导入结束后可取。"
    ),
    # Statistics and state
    "State of the registry": "登记服务的状态",
    "503 while the database does not answer; one that takes no writes, as a standby does, is `read_only`.": (
        "数据库无应答时返回 503；数据库不能写入（例如是备库）时，`database` 为 `read_only`。"
    ),
    # Parameters
    "`zh` or `en`; goes before Accept-Language.": "`zh` 或 `en`，优先于 Accept-Language。",
    "Overwrite identifiers that exist with other values.": "覆盖内容不同的已有标识。",
    "Answer as usual (with status 200) and write nothing.": "照常应答（状态 200）但不写入。",
    "The first answer is repeated for the same request within 7 days; another request is 409.": (
        "7 天内相同请求得到第一次的应答；不同请求返回 409。"
    ),
    "Read this one instead, whatever characters it has.": "改为读取这一个标识，可含任何字符。",
    "Beginning of the suffix.": "后缀的开头。",
    "`next` of the page before.": "上一页的 `next`。",
    "1 to 1,000.": "1 至 1,000。",
    "What the identifier was then (ISO 8601; without an offset it is UTC+8).": (
        "标识在该时刻的内容（ISO 8601；不带时区按 UTC+8）。"
    ),
    "Only these indexes.": "只要这些索引。",
    "Only these types.": "只要这些类型。",
    "Monitoring by the operator, counted apart.": "运营方的监测，单独计数。",
    "The ETag of what you saw: 412 if it is something else by now.": "您所见版本的 ETag；若已变化返回 412。",
    "Part of the name, a certificate code or a prefix.": "名称的一部分、证照代码或前缀。",
    "Code; takes all below it.": "代码，包括其下各级。",
    "A name of the dictionary.": "字典中的名称。",
    "Those whose dossier lacks something.": "档案不完整的企业。",
    "Only those of this enterprise.": "只要这家企业的。",
}
QUERY_FORM = " (query form)"


def translate(sentence: str) -> str:
    """The Chinese of a sentence of the reference; a sentence without one stays English, which a test refuses."""
    if sentence.endswith(QUERY_FORM):
        return f"{CHINESE.get(sentence.removesuffix(QUERY_FORM), sentence)}（查询参数形式）"
    return CHINESE.get(sentence, sentence)
