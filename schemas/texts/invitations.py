"""Invitations: what can be wrong with one, and the words of their pages (Chinese, English)."""

from schemas.texts.table import Text

_ASK_ZH, _ASK_EN = "请向邀请您的人索取新的链接。", "Ask whoever invited you for a new link."

TEXTS: dict[str, Text] = {
    "invitation_unknown": Text(
        "这个邀请链接无效。", "This link is no invitation.",
        "请检查链接是否完整；" + _ASK_ZH, "Check whether it is complete. " + _ASK_EN,
    ),
    "invitation_used": Text(
        "这个邀请已经使用过。", "This invitation was used already.",
        "如果是您本人使用的，请直接登录；否则请立即通知邀请您的人。",
        "If it was you, sign in. If not, tell who invited you at once.",
    ),
    "invitation_revoked": Text("这个邀请已被撤回。", "This invitation was taken back.", _ASK_ZH, _ASK_EN),
    "invitation_expired": Text(
        "这个邀请已过期。", "This invitation has expired.",
        "邀请七天内有效，" + _ASK_ZH, "Invitations are valid for seven days. " + _ASK_EN,
    ),
    "invitation_slow_down": Text(
        "无效链接打开次数过多，请在 {seconds} 秒后再试。",
        "Too many wrong links: wait {seconds} seconds.",
        "请从收到的邀请中完整复制链接。", "Copy the whole link from the invitation.",
    ),
    "invitation_not_found": Text(
        "没有编号为 {number} 的有效邀请。", "There is no open invitation {number}.",
        "请从邀请列表中选择。", "Choose one from the list.",
    ),
}  # fmt: skip

INVITATION_LABELS: dict[str, tuple[str, str]] = {
    # who invites
    "invitations": ("邀请", "Invitations"),
    "invitations_text": (
        "受邀人用链接自行设置用户名和密码。链接一次有效，七天后失效。",
        "The invited choose name and password themselves. A link works once, and for seven days.",
    ),
    "invitations_open": ("有效的邀请", "Open invitations"),
    "invitations_none": ("没有有效的邀请。", "There are no open invitations."),
    "invite": ("邀请成员", "Invite somebody"),
    "invite_button": ("生成邀请链接", "Make the link"),
    "invite_instead": ("邀请成员自行设置", "Let them choose name and password"),
    "invitation_remark": ("受邀人", "For whom"),
    "hint_invitation_remark": (
        "便于辨认，例如 质检部 王丽。",
        "To tell them apart, such as “Wang Li, quality control”.",
    ),
    "invitation_until": ("有效期至", "Valid until"),
    "invitation_by": ("邀请人", "Invited by"),
    "invitation_revoke": ("撤回", "Take back"),
    "invitation_revoke_title": ("撤回邀请", "Take the invitation back"),
    "invitation_revoke_consequence": (
        "链接立即失效；已经建立的账户不受影响。",
        "The link opens nothing any more. Accounts made before stay as they are.",
    ),
    "invitation_made": ("邀请链接已生成", "The invitation is ready"),
    "invitation_once": ("链接只显示这一次", "The link is shown this once"),
    "invitation_once_text": (
        "请通过安全的方式交给受邀人：得到链接的人就能建立这个账户。",
        "Hand it over by a safe way: whoever has the link can make this account.",
    ),
    "invitation_link": ("邀请链接", "Link"),
    "invitation_noted": ("已交付", "It is handed over"),
    "done_invitation_revoked": ("邀请已撤回。", "The invitation is taken back."),
    # the invited
    "invited": ("您受邀使用本节点", "You are invited"),
    "invited_text": (
        "请设置用户名和密码，账户的权限已由邀请人确定。",
        "Choose a name and a password; what the account may do is settled.",
    ),
    "invited_button": ("建立账户", "Make the account"),
    "invited_done": ("账户已建立", "Your account is ready"),
    "invited_done_text": ("请用 {user_name} 登录。", "Sign in as {user_name}."),
    "invitation_over": ("无法使用这个邀请", "This invitation cannot be used"),
}

# Of the command line.
LABELS: dict[str, tuple[str, str]] = {
    "invitation_link_made": (
        "邀请链接（只显示这一次，{until} 前可用一次）：{link}",
        "Link, shown this once, which works once until {until}: {link}",
    ),
}
