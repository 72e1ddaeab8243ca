"""Texts of accounts, roles, signing in and tokens."""

from schemas.texts.table import Text

TEXTS = {
    "account_has_enterprise": Text(
        "账户 {user_name} 已属于企业或其他单位。",
        "The account {user_name} stands for an enterprise or somebody else already.",
        "请使用尚未归属企业的账户，或新建账户。",
        "Take one that belongs to nobody yet, or make a new one.",
    ),
    "sign_in_wrong": Text(
        "用户名/密码错误！",
        "The user name or the password is wrong.",
        "请检查大小写和输入法；忘记密码时请管理员重置。",
        "Check capitals and the keyboard; an administrator resets a lost password.",
    ),
    "present_password_wrong": Text(
        "当前密码不正确。",
        "The present password is wrong.",
        "请填写您登录时用的密码，并检查大小写和输入法。",
        "Give the one you sign in with; check capitals and the keyboard.",
    ),
    "sign_in_slow_down": Text(
        "密码错误次数过多，请在 {seconds} 秒后再试。",
        "Too many wrong passwords: wait {seconds} seconds.",
        "只有从该地址登录该账户需要等待，其他人不受影响。",
        "Only this account from this address has to wait; nobody else does.",
    ),
    "sign_in_busy": Text(
        "登录请求过多，暂时无法处理。",
        "Too many sign-ins at once.",
        "请几秒后再试。",
        "Try again in a few seconds.",
    ),
    "second_factor_missing": Text(
        "该账户还需要动态验证码。",
        "This account needs the code of its second factor, too.",
        "请填写验证器应用显示的六位数字；手机遗失时请节点运营方代为停用。",
        "Give the six digits your authenticator shows; if it is lost, the operator of the node switches it off.",
    ),
    "second_factor_wrong": Text(
        "动态验证码不正确或已经用过。",
        "The code of the second factor is wrong or was used before.",
        "请等待下一个验证码，并检查手机时间。",
        "Wait for the next one, and check the clock of your telephone.",
    ),
    "token_wrong": Text(
        "令牌无效。",
        "The token is not valid.",
        "请重新登录以获取令牌。",
        "Sign in again to get a token.",
    ),
    "token_expired": Text(
        "令牌已过期或已被终止。",
        "The token has expired or was ended.",
        "请重新登录；令牌有效期为 24 小时。",
        "Sign in again; a token is valid for 24 hours.",
    ),
    "session_not_found": Text(
        "没有这个会话，或它已经结束。",
        "There is no such session, or it has ended.",
        "请刷新会话列表。",
        "Read the list of sessions again.",
    ),
    "role_missing": Text(
        "该操作需要“{role}”角色。",
        "This needs the role “{role}”.",
        "请由具有该角色的人员办理，或请运营方授予该角色。",
        "Have somebody with that role do it, or ask the operator for the role.",
    ),
    "scope_missing": Text(
        "该账户或密钥没有“{scope}”权限。",
        "This account or key lacks the right “{scope}”.",
        "请使用具有该权限的账户或密钥，或请管理员授予。",
        "Use an account or key that has it, or ask an administrator.",
    ),
    "scope_not_given": Text(
        "该账户或密钥自身没有“{scope}”权限，不能授予他人。",
        "This account or key lacks the right “{scope}” itself and cannot give it to others.",
        "请写明新密钥的权限范围，或由企业管理员、运营方办理。",
        "Name the scopes that the new key needs, or let an administrator or the operator do it.",
    ),
    "scope_unknown": Text(
        "没有权限范围 {scope}。",
        "There is no scope {scope}.",
        "可选：{scopes}。",
        "Choose among {scopes}.",
    ),
    "network_malformed": Text(
        "{network} 不是 IP 地址或网段。",
        "{network} is no IP address or network.",
        "例如 192.0.2.7 或 192.0.2.0/24。",
        "For example 192.0.2.7 or 192.0.2.0/24.",
    ),
    "key_expiry_past": Text(
        "密钥的失效时间已过。",
        "The key would have expired already.",
        "请填写将来的时间。",
        "Name a time to come.",
    ),
    "key_networks_wider": Text(
        "该密钥只能从 {networks} 使用，不能新建可从其他地址使用的密钥。",
        "This key works from {networks} only and makes no key that works from elsewhere.",
        "请为新密钥填写该范围内的网段，或由企业管理员、运营方用账户新建。",
        "Name networks within these for the new key, or let an administrator or the operator make it.",
    ),
    "key_expiry_later": Text(
        "该密钥 {expires} 失效，不能新建有效期更长的密钥。",
        "This key ends at {expires} and makes no key that lasts longer.",
        "请为新密钥填写不晚于该时间的失效时间，或由企业管理员、运营方用账户新建。",
        "Name an end for the new key that is no later, or let an administrator or the operator make it.",
    ),
    "key_address": Text(
        "该密钥不能从地址 {address} 使用。",
        "This key does not work from the address {address}.",
        "请从登记的网段访问，或新建允许该地址的密钥。",
        "Come from a network the key names, or make a key that allows this address.",
    ),
    "password_length": Text(
        "密码须为 {minimum} 至 {limit} 个可显示字符。",
        "A password has {minimum} to {limit} printable characters.",
        "请换一个密码，例如几个互不相关的词。",
        "Choose another one, such as a few words that have nothing to do with each other.",
    ),
    "password_is_name": Text(
        "密码不能与用户名相同或包含用户名。",
        "The password must not be or hold the user name.",
        "请换一个密码。",
        "Choose another one.",
    ),
    "password_too_common": Text(
        "该密码过于常见，很容易被猜到。",
        "This password is among the commonest and quickly guessed.",
        "请换一个密码，例如几个互不相关的词。",
        "Choose another one, such as a few words that have nothing to do with each other.",
    ),
    "password_digest_malformed": Text(
        "密码须为 64 位十六进制的 SHA-256 值。",
        "The password must be a SHA-256 of 64 hexadecimal digits.",
        "请发送 sha256hex(密码)。",
        "Send sha256hex(password).",
    ),
    "user_name_malformed": Text(
        "用户名须为 1 至 50 个字符，由文字、数字和 . _ - @ + 组成，且不以 ak_ 开头；企业账户前可加本企业前缀和斜杠。",
        "A user name has 1 to 50 letters, digits or any of . _ - @ + and does not begin with ak_; "
        "an enterprise's account may have a prefix of that enterprise and a slash before it.",
        "请修改用户名。",
        "Choose another name.",
    ),
    "taken_user_name": Text(
        "用户名已被使用。",
        "The user name belongs to another account.",
        "请换一个用户名。",
        "Choose another one.",
    ),
    "taken_email": Text(
        "该邮箱已用于其他账户。",
        "The e-mail address belongs to another account.",
        "请使用其他邮箱。",
        "Use another one.",
    ),
    "taken_mobile": Text(
        "该手机号已用于其他账户。",
        "The mobile number belongs to another account.",
        "请使用其他手机号。",
        "Use another one.",
    ),
    "role_unknown": Text(
        "没有角色 {role}。",
        "There is no role {role}.",
        "可选：{roles}。",
        "Choose among {roles}.",
    ),
    "hashed_sign_in_not_for_role": Text(
        "只有企业和合作方账户可以使用摘要登录。",
        "Only accounts of enterprises and partners may sign in with a hashed password.",
        "请去掉该选项，或仅授予企业或合作方角色。",
        "Leave the option out, or give roles of an enterprise or a partner only.",
    ),
    "account_needs_enterprise": Text(
        "企业账户须指明企业。",
        "An account of an enterprise needs the enterprise.",
        "请填写企业的统一社会信用代码、前缀或全称。",
        "Name it by social credit code, prefix or whole name.",
    ),
    "account_needs_organisation": Text(
        "合作方账户须填写组织的统一社会信用代码，其他账户不填。",
        "A partner's account, and no other, needs the social credit code of its organisation.",
        "请填写或清空组织代码，或改选角色。",
        "Fill it in or clear it, or choose another role.",
    ),
    "account_needs_area": Text(
        "监管账户须指明区域，其他账户不填。",
        "A regulator's account, and no other, needs an area.",
        "请填写或清空区划或乡镇、园区，或改选角色。",
        "Fill in or clear the division or unit, or choose another role.",
    ),
    "account_scope_without_role": Text(
        "只有企业角色的账户可以指明企业。",
        "Only an account with a role of an enterprise names an enterprise.",
        "请授予企业管理员或企业操作员角色，或去掉企业。",
        "Give a role of an enterprise, or leave the enterprise out.",
    ),
    "partner_not_found": Text(
        "组织 {organisation} 不是前缀 {prefix} 的合作方。",
        "The organisation {organisation} is no partner of the prefix {prefix}.",
        "请在合作方列表中核对。",
        "The list of partners shows who is.",
    ),
    "account_not_yours": Text(
        "您不能管理该账户。",
        "You may not manage this account.",
        "请由本企业的管理员或节点运营方办理。",
        "Ask an administrator of your enterprise, or the operator of the node.",
    ),
    "account_not_found": Text(
        "没有账户“{user_name}”。",
        "There is no account “{user_name}”.",
        "请在账户列表中核对用户名。",
        "The list of accounts shows all names.",
    ),
    "account_is_yours": Text(
        "不能停用自己的账户。",
        "You cannot disable your own account.",
        "请由另一位管理员操作。",
        "Have another administrator do it.",
    ),
    "account_disabled_already": Text(
        "账户 {user_name} 已经停用。",
        "The account {user_name} is disabled already.",
        "无需再次操作。",
        "There is nothing left to do.",
    ),
    "account_enabled_already": Text(
        "账户 {user_name} 没有被停用。",
        "The account {user_name} is not disabled.",
        "无需再次操作。",
        "There is nothing left to do.",
    ),
}

# What is said when it went well: Chinese, English.
LABELS = {
    "account_added": ("已添加账户 {user_name}", "Added the account {user_name}"),
    "account_disabled": ("已停用账户 {user_name}", "Disabled the account {user_name}"),
    "account_enabled": ("已启用账户 {user_name}", "Enabled the account {user_name}"),
    "password_set": (
        "已设置 {user_name} 的新密码，其会话已结束，未使用的邀请已作废",
        "Set a new password for {user_name}; its sessions and open invitations ended",
    ),
    "password_made": ("密码（只显示这一次）：{password}", "Password, shown this once: {password}"),
    "second_factor_set": (
        "{user_name} 登录时还需要动态验证码。请在验证器应用中添加（只显示这一次）：{address}",
        "{user_name} needs a code to sign in now. Add this to an authenticator, shown this once: {address}",
    ),
    "second_factor_removed": ("{user_name} 登录只需要密码", "{user_name} signs in with the password alone"),
    "partner_named": ("{organisation} 是 {prefix} 的合作方", "{organisation} is a partner of {prefix}"),
    "partner_revoked": ("{organisation} 不再是 {prefix} 的合作方", "{organisation} is no partner of {prefix} any more"),
    "chain_changed": ("{log} 第 {position} 条与其哈希不符", "{log}: entry {position} does not fit its hash"),
    "chain_removed": ("{log} 第 {position} 条之前缺少记录", "{log}: entries are missing before {position}"),
    "chain_cut_off": ("{log} 的末尾与第 {position} 条的记载不符", "{log}: its end is not entry {position} as noted"),
    "chain_end": ("{log}：共 {position} 条，末尾 {link}", "{log}: {position} entries, end {link}"),
    "chain_intact": ("哈希链完整。", "Both chains are intact."),
    "admin_made": (
        "已建立管理员账户 {user_name}，密码（只显示这一次）：{password}",
        "Made the account {user_name}; its password, shown this once: {password}",
    ),
}
