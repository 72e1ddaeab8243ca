"""Sentences of the API reference in Chinese: accounts, signing in, sessions, partners."""

ACCOUNTS: dict[str, str] = {
    "accounts": "账户与登录",
    "partners": "合作方",
    "Sign in": "登录",
    "A bearer token for 24 hours. Wrong passwords are slowed down per account and address.": (
        "返回有效期 24 小时的令牌。密码错误时按账户和地址逐渐延长等待时间。"
    ),
    "Who the caller is": "当前身份",
    "And what he may do.": "以及其权限。",
    "One's own open sessions": "自己的有效会话",
    "Bearer tokens and console sessions, newest first.": "包括令牌和控制台会话，新的在前。",
    "End a session": "结束会话",
    "One of one's own; the operator ends any. It ends at once.": "结束自己的会话；运营方可结束任何会话。立即生效。",
    "Add an account": "添加账户",
    "The operator adds anybody, an enterprise's administrator people of his enterprise.": (
        "运营方可添加任何账户，企业管理员可添加本企业的账户。"
    ),
    "List accounts": "账户列表",
    "An enterprise's administrator sees those of his enterprise, the operator all.": (
        "企业管理员只见本企业的账户，运营方可见全部。"
    ),
    "Disable an account": "停用账户",
    "Its sessions end at once.": "其会话立即结束。",
    "Enable a disabled account": "重新启用账户",
    "It may sign in again.": "可以再次登录。",
    "Set a new password": "设置新密码",
    "One account": "一个账户",
    "One's own, or one that the caller manages.": "本人的，或自己管理的账户。",
    "One access key": "一个访问密钥",
    "Without its secret.": "不含密钥。",
    "One's own, with the old one, or that of an account one manages. All its other sessions end.": (
        "修改自己的密码须提供旧密码；也可为所管理的账户设置。该账户的其他会话全部结束。"
    ),
    "Invite somebody": "邀请成员",
    "The answer holds the link, this once: valid for seven days, for one account with these roles.": (
        "应答中的链接只出现这一次：七天内有效，只能建立一个具有这些角色的账户。"
    ),
    "List open invitations": "有效邀请列表",
    "Those that can still be used: of one's own enterprise, for the operator all.": (
        "仍可使用的邀请：本企业的，运营方可见全部。"
    ),
    "Revoke an invitation": "撤回邀请",
    "Its link opens nothing any more.": "链接立即失效。",
    "List partners": "合作方列表",
    "Only those of this prefix.": "只列出该前缀的合作方。",
    "Of one's own prefixes, revoked ones among them.": "自己前缀的合作方，包括已取消的。",
    "Name a partner": "指定合作方",
    "It sees what is marked for partners from now on; 200 if it does already.": (
        "从现在起可见标记为合作方可见的内容；已经是合作方时返回 200。"
    ),
    "Revoke a partner": "取消合作方",
    "It sees what everybody sees, at once.": "立即只能看到公开内容。",
    "An enterprise sees itself, a regulator those of his area, operator and reviewers all.": (
        "企业只见自己，监管人员只见本区域，运营方和审核员可见全部。"
    ),
}
