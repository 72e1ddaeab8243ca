"""What the audit trail calls what was done: Chinese, English. Routes of `/api/v1` are called by their own summaries."""

ACTIONS: dict[str, tuple[str, str]] = {
    # people
    "sign_in": ("登录", "Sign-in"),
    "session_ended": ("结束会话", "Session ended"),
    "password_set": ("设置新密码", "New password set"),
    "second_factor_set": ("启用动态口令", "Second factor set"),
    "second_factor_removed": ("停用动态口令", "Second factor removed"),
    "account_added": ("添加账户", "Account added"),
    "account_disabled": ("停用账户", "Account disabled"),
    "account_enabled": ("启用账户", "Account enabled"),
    "account_joined": ("账户归入企业", "Account joined an enterprise"),
    "invited": ("发出邀请", "Invitation made"),
    "invitation_opened": ("打开邀请链接", "Invitation opened"),
    "invitation_used": ("使用邀请", "Invitation used"),
    "invitation_revoked": ("撤回邀请", "Invitation taken back"),
    "personal_revealed": ("查看个人信息", "Personal data looked at"),
    # problem reports
    "problem_reported": ("反馈编码问题", "Problem with a code reported"),
    "problem_open": ("重新打开问题反馈", "Problem report opened again"),
    "problem_in_work": ("受理问题反馈", "Problem report taken in hand"),
    "problem_closed": ("办结问题反馈", "Problem report closed"),
    "problem_contact_revealed": ("查看反馈者联系方式", "Contact of who reported looked at"),
    "alarm_acknowledged": ("确认告警", "Alarm acknowledged"),
    # wrong keys, by interface
    "refused api": ("接口凭证被拒", "Wrong credentials at the API"),
    "refused snms": ("SNMS 凭证被拒", "Wrong credentials at SNMS"),
    "refused resolver": ("解析凭证被拒", "Wrong credentials at the resolver"),
    "refused ent": ("企业节点凭证被拒", "Wrong credentials of an enterprise's node"),
    "refused metrics": ("指标凭证被拒", "Wrong credentials at the metrics"),
    "refused others": ("其余凭证被拒", "More wrong credentials"),
    # by the way that was taken
    "idnode": ("命令行", "Command"),
    "GET /console": ("查看", "looked at"),
    "POST /console": ("提交", "sent"),
    "GET SNMS": ("SNMS 查询", "Looked at by SNMS"),
    "POST SNMS": ("SNMS 写入", "Written by SNMS"),
    "PUT SNMS": ("SNMS 修改", "Changed by SNMS"),
    "DELETE SNMS": ("SNMS 删除", "Deleted by SNMS"),
    "GET /{identifier}": ("解析出非公开内容", "Resolved with what is not public"),
    "POST /ent/v1/apps": ("企业节点报送应用", "Applications of an enterprise's node"),
    # refused before anything was looked for
    "GET": ("接口读取", "Read at the API"),
    "POST": ("接口写入", "Written at the API"),
    "PUT": ("接口修改", "Put at the API"),
    "PATCH": ("接口修改", "Changed at the API"),
    "DELETE": ("接口删除", "Deleted at the API"),
}

# What a sign-in is about: the way that was taken.
SIGN_IN_WAYS: dict[str, tuple[str, str]] = {
    "password": ("用密码", "With a password"),
    "hashed": ("用密码摘要", "With the digest of a password"),
    "console": ("控制台", "At the console"),
}
