"""Words of the console about second factors, access keys, dossier changes, the audit trail: Chinese, English."""

PEOPLE_LABELS: dict[str, tuple[str, str]] = {
    # second factor
    "second_factor": ("动态验证码", "Second factor"),
    "second_factor_text": (
        "登录时除密码外，再输入手机验证器应用显示的六位数字。建议运营与审核人员启用。",
        "Signing in asks for the six digits an authenticator app shows, too. For operators and reviewers above all.",
    ),
    "second_factor_is_on": ("已启用", "on"),
    "second_factor_is_off": ("未启用", "off"),
    "second_factor_start": ("启用动态验证码", "Switch the second factor on"),
    "second_factor_scan": ("用验证器应用扫描", "Scan this with an authenticator app"),
    "second_factor_secret": ("或手工输入密钥", "Or type this secret into it"),
    "second_factor_confirm": ("用应用显示的验证码确认", "Confirm with the code the app shows"),
    "second_factor_code": ("动态验证码", "Code of the second factor"),
    "hint_second_factor": ("应用显示的六位数字，每个只能用一次。", "The six digits the app shows; each opens once."),
    "hint_second_factor_sign_in": (
        "应用显示的六位数字。手机遗失时，请管理员关闭动态验证码。",
        "The six digits the app shows. If the telephone is lost, an administrator can switch this off.",
    ),
    "second_factor_consequence": (
        "从下次登录起需要密码和验证码；此后离开本页将无法再看到密钥。",
        "From the next sign-in on, password and code are needed; the secret is not shown again.",
    ),
    "second_factor_end": ("停用动态验证码", "Switch the second factor off"),
    "second_factor_end_text": (
        "此后仅凭密码即可登录；应用里的密钥随之作废。",
        "The password alone opens the account again; the secret in the app becomes worthless.",
    ),
    "another_account": ("换一个账户", "another account"),
    "done_second_factor_on": ("动态验证码已启用。", "The second factor is on."),
    "done_second_factor_off": ("动态验证码已停用。", "The second factor is off."),
    # access keys
    "key_scopes": ("允许的操作", "What it may do"),
    "key_scope_read": ("查看标识、模板、回执", "See identifiers, templates, receipts"),
    "key_scope_write": ("登记、修改、冻结、停用标识，导入文件", "Register, change, freeze, retire, import identifiers"),
    "key_scope_templates": ("建立与修改模板", "Make and change templates"),
    "key_scope_statistics": ("查看统计", "See figures"),
    "key_scope_manage": (
        "管理：企业资料、前缀、合作伙伴、密钥与账户",
        "Manage: dossier, prefixes, partners, access keys and accounts",
    ),
    "key_scope_review": ("审核企业的申请", "Decide on applications of enterprises"),
    "key_networks": ("允许的来源地址", "Addresses it works from"),
    "hint_key_networks": (
        "每行一个地址或网段，例如 192.0.2.7 或 192.0.2.0/24；留空则不限制。",
        "One address or network per line, such as 192.0.2.7 or 192.0.2.0/24; empty: from anywhere.",
    ),
    "key_expires": ("有效期至", "Works until"),
    "hint_key_expires": ("含当日；留空则长期有效，直到吊销。", "That day included; empty: until it is revoked."),
    "hint_key_enterprise": (
        "代表企业时填写；两项都留空则代表本节点。",
        "To act for an enterprise; with both empty it acts for the node itself.",
    ),
    "hint_key_organisation": (
        "代表合作伙伴时填写；只能查看标为合作伙伴的内容。",
        "To act for a partner: it reads what is marked for partners, and nothing else.",
    ),
    "key_may": ("权限", "May"),
    "key_may_all": ("全部", "everything"),
    "key_may_read": ("查看", "see"),
    "key_may_write": ("登记", "register"),
    "key_may_templates": ("模板", "templates"),
    "key_may_statistics": ("统计", "figures"),
    "key_may_manage": ("管理", "manage"),
    "key_may_review": ("审核", "review"),
    "key_until": ("至 {day}", "until {day}"),
    "key_expired": ("已过期", "expired"),
    # a change of the dossier that waits
    "what_changes": ("变更内容", "What changes"),
    "in_force": ("现行", "In force"),
    "proposed": ("申请变更为", "Proposed"),
    "changes_masked": (
        "个人信息只显示首尾字符；需要原文时，请说明原因后查看。",
        "Of persons the first and last characters are shown; give a reason to see more.",
    ),
}
