"""Connection certificates of firms (接入证明): what stands on them, on their pages, and what can go wrong."""

from schemas.texts.table import Text

# On the certificate itself, which speaks both languages.
SHEET: dict[str, tuple[str, str]] = {
    "title": ("接入证明", "Certificate of Connection"),
    "of_node": ("工业互联网标识解析二级节点", "Secondary node of the industrial internet identifier resolution system"),
    "number": ("证明编号", "Certificate no."),
    "firm": ("企业名称", "Enterprise"),
    "code": ("统一社会信用代码", "Social credit code"),
    "prefixes": ("企业标识前缀", "Prefix"),
    "node": ("二级节点", "Secondary node"),
    "connected_on": ("接入日期", "Connected on"),
    "issued_on": ("出具日期", "Date of issue"),
    "statement": (
        "兹证明下列企业已接入本二级节点，所列企业标识前缀由本节点分配。",
        "This is to certify that the enterprise named below is connected to this secondary node, which allocated the"
        " prefixes to it.",
    ),
    "limits": (
        "本证明仅说明前缀由本节点分配这一事实，不是国家工业互联网标识解析体系或任何主管部门的认证、许可或评价。"
        "企业之后的状态以上述地址的查验结果为准。",
        "It says only that this node allocated the prefixes. It is no certification, licence or assessment by the"
        " national identifier resolution system or any authority. How things stand now is shown at the address above.",
    ),
    "verify": ("扫码或访问以下地址查验", "Verify by this code or address"),
    "signed": (
        "本文件带有节点的电子签名（PAdES），任何改动都会使签名失效。",
        "This file carries the node's electronic signature (PAdES); any change breaks it.",
    ),
}

LABELS: dict[str, tuple[str, str]] = {
    "issued": ("接入证明 {number} 已出具，写入 {path}", "Certificate {number} was issued; wrote {path}"),
    "written": ("已写入 {path}", "Wrote {path}"),
    "revoked": ("接入证明 {number} 已撤销", "Certificate {number} was revoked"),
    "none": ("尚未出具接入证明", "No certificate was issued yet"),
    "intact": ("文件与出具时一致，签名完好", "The file is as it was issued, its signature is intact"),
    "altered": (
        "没有出具过这样的文件：内容被改动，或不是本节点出具的",
        "No such file was issued: it was changed, or is not ours",
    ),
}

STATES: dict[str, tuple[str, str]] = {
    "valid": ("有效", "valid"),
    "revoked": ("已撤销", "revoked"),
    "suspended": ("企业现已暂停", "the enterprise is suspended now"),
    "departed": ("企业现已退出", "the enterprise has departed"),
    "prefix_changed": ("所列前缀现已停用或不再属于该企业", "a prefix is stopped or no longer the enterprise's"),
}

PAGES: dict[str, tuple[str, str]] = {
    "certs": ("接入证明", "Connection certificates"),
    "certs_text": (
        "带电子签名的 PDF，证明企业已接入本节点、前缀由本节点分配；任何人可凭编号查验。",
        "A signed PDF that says that a firm is connected and which prefixes this node allocated. Anybody can verify"
        " it by its number.",
    ),
    "certs_none": ("还没有出具过", "None was issued yet"),
    "certs_none_text": ("出具后列在这里，可以再次下载。", "They are listed here and can be downloaded again."),
    "cert_issue": ("出具接入证明", "Issue a certificate"),
    "cert_issue_own": ("为本企业出具", "Issue one for my enterprise"),
    "cert_for": ("企业", "Enterprise"),
    "cert_for_hint": ("统一社会信用代码、前缀或企业全称。", "Its social credit code, prefix or whole name."),
    "cert_local": (
        "节点还没有对外的地址：证明上的查验链接只在节点本机有效。请先联系运营方。",
        "The node has no public address yet: the link on a certificate works on its own machine only. Ask the"
        " operator.",
    ),
    "cert_local_node": (
        "证明上的查验链接只在本机有效：请设置 IDNODE_REGISTRY_URL 后再出具。",
        "The link on a certificate works on this machine only: set IDNODE_REGISTRY_URL before issuing.",
    ),
    "cert_number": ("证明编号", "Number"),
    "cert_firm": ("企业", "Enterprise"),
    "cert_prefixes": ("企业标识前缀", "Prefixes"),
    "cert_issued": ("出具日期", "Issued"),
    "cert_issued_by": ("出具人", "Issued by"),
    "cert_state": ("状态", "State"),
    "cert_in_force": ("未撤销", "not revoked"),
    "cert_actions": ("操作", "Actions"),
    "cert_download": ("下载 PDF", "Download PDF"),
    "cert_check": ("查验", "Verify"),
    "cert_revoke": ("撤销", "Revoke"),
    "cert_revoke_title": ("撤销接入证明", "Revoke a certificate"),
    "cert_revoke_text": (
        "撤销后查验页面显示“已撤销”及原因；已下载的文件不会消失。",
        "The page that verifies it will say “revoked”, with the reason. Files that were downloaded do not vanish.",
    ),
    "cert_reason": ("原因", "Reason"),
    "certv": ("查验接入证明", "Verify a certificate"),
    "certv_text": (
        "输入证明上的编号，或扫描其二维码。",
        "Enter the number that stands on the certificate, or scan its code.",
    ),
    "certv_search": ("查验", "Verify"),
    "certv_says": (
        "本证明仅说明前缀由本节点分配，不代表国家体系或主管部门的认证。",
        "It says only that this node allocated the prefixes: it is no certification by the national system or an"
        " authority.",
    ),
    "certv_code": ("统一社会信用代码", "Social credit code"),
    "certv_connected": ("接入日期", "Connected on"),
    "certv_since": ("自 {at}", "since {at}"),
    "certv_revoked": ("撤销于 {at}：{reason}", "Revoked on {at}: {reason}"),
    "certv_digest": ("文件摘要（SHA-256）", "Digest of the file (SHA-256)"),
    "certv_signer": ("签名证书指纹（SHA-256）", "Fingerprint of the signing certificate (SHA-256)"),
    "certv_file": ("核对文件", "Compare a file"),
    "certv_file_text": (
        "上传您手中的 PDF，核对它是否与出具时逐字节一致、签名是否完好。文件不会被保存。",
        "Upload the PDF you were given: is it byte for byte what was issued, and its signature intact? It is not kept.",
    ),
    "certv_upload": ("PDF 文件", "PDF file"),
    "certv_compare": ("核对", "Compare"),
    "certv_intact": (
        "文件与出具时逐字节一致，电子签名完好。",
        "The file is byte for byte what was issued; its signature is intact.",
    ),
    "certv_altered": (
        "文件与出具的不同：内容被改动过，或不是这一份证明。请勿采信。",
        "The file is not what was issued: it was changed, or is another one. Do not rely on it.",
    ),
    "certv_broken": (
        "摘要一致，但签名不能验证，请联系节点运营方。",
        "The digest matches, but the signature cannot be verified: tell the node's operator.",
    ),
    "certv_state_valid": STATES["valid"],
    "certv_state_revoked": STATES["revoked"],
    "certv_state_suspended": STATES["suspended"],
    "certv_state_departed": STATES["departed"],
    "certv_state_prefix_changed": STATES["prefix_changed"],
    "done_cert_issued": ("接入证明已出具，可以下载。", "The certificate was issued and can be downloaded."),
    "done_cert_revoked": ("接入证明已撤销。", "The certificate was revoked."),
}

TEXTS: dict[str, Text] = {
    "certificate_not_connected": Text(
        "企业“{enterprise}”目前没有接入，不能出具接入证明。",
        "“{enterprise}” is not connected now; no certificate can be issued.",
        "接入是指企业已批准、未暂停，且至少有一个前缀处于启用状态。",
        "Connected means: approved, not suspended, and with at least one prefix that is enabled.",
    ),
    "certificate_not_found": Text(
        "没有编号为 {number} 的接入证明。",
        "There is no connection certificate {number}.",
        "请核对编号：JR、年份和四组字母数字，字母 O、I、L 不会出现。",
        "Compare the number: JR, the year and four groups of letters and digits; O, I and L are never among them.",
    ),
    "certificate_revoked_already": Text(
        "接入证明 {number} 已于 {at} 撤销。",
        "The connection certificate {number} was revoked on {at}.",
        "无需再次撤销；需要时可为企业重新出具。",
        "Nothing needs to be done; issue another one if the firm needs it.",
    ),
    "certificate_slow_down": Text(
        "该企业一天内已出具 {limit} 份接入证明。",
        "{limit} certificates were issued for this firm within a day.",
        "已出具的可以再次下载；如是程序重复调用，请修正程序，明天再试。",
        "Those can be downloaded again; if a program repeats itself, repair it and try tomorrow.",
    ),
    "certificate_reason_missing": Text(
        "撤销接入证明需要原因。",
        "Revoking a connection certificate needs a reason.",
        "请写明原因，查验页面会公开显示。",
        "Say why; the page that verifies it shows it to everybody.",
    ),
    "certificate_files_unusable": Text(
        "签名证书 {path} 不能使用：{reason}。",
        "The signing certificate {path} cannot be used: {reason}.",
        "IDNODE_SIGNING_CERTIFICATE 和 IDNODE_SIGNING_KEY 应为一对 PEM 文件（RSA 或 EC，私钥不加密），证书在有效期内。",
        "IDNODE_SIGNING_CERTIFICATE and IDNODE_SIGNING_KEY name a pair of PEM files (RSA or EC, the key not encrypted),"
        " and the certificate must be in force.",
    ),
    "certificate_key_broken": Text(
        "签名密钥 {key} 不能打开：不是由本节点的密钥文件封存的。",
        "The signing key {key} cannot be opened: it was not sealed with this node's key file.",
        "请恢复原来的密钥文件（IDNODE_SECRET_KEY_FILE），它在每份备份中。",
        "Put the right key file back (IDNODE_SECRET_KEY_FILE); every backup holds it.",
    ),
    "certificate_file_missing": Text(
        "没有可核对的 PDF 文件，或超过 {limit} MB。",
        "There is no PDF file to compare, or it is over {limit} MB.",
        "请选择从节点下载的接入证明 PDF。",
        "Choose the PDF of the certificate as it was downloaded.",
    ),
}
