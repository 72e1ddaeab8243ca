"""Commands for accounts: whoever has the command line of the node can always let somebody in again."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.data import open_desk
from node.cli.frame import AsJson, get_language, print_json, run
from node.table import format_table
from node.wording import say
from schemas.days import ZONE
from schemas.errors import InvalidInput
from schemas.texts.accounts import LABELS
from schemas.texts.invitations import LABELS as INVITATION_LABELS

if TYPE_CHECKING:
    from asyncpg import Connection

    from registry.principals import Order
    from registry.store.accounts import AccountRow

Roles = Annotated[
    list[str],
    typer.Option(
        "--role",
        metavar="R",
        help="operator, engineer, reviewer, enterprise_admin, enterprise_user, partner, regulator; 可重复 / repeat it",
    ),
]
Enterprise = Annotated[
    str | None, typer.Option("--enterprise", metavar="E", help="企业角色所属企业 / the enterprise of its roles")
]
Organisation = Annotated[
    str, typer.Option("--organisation", metavar="USCC", help="合作方的统一社会信用代码 / a partner's code")
]
Area = Annotated[str, typer.Option("--area", metavar="A", help="监管区域 / a regulator's division or unit")]
UserName = Annotated[str, typer.Argument(metavar="NAME", help="用户名 / user name")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", metavar="FILE", help="从文件读取密码，- 为标准输入；缺省生成一个 / default: make one"
    ),
]

accounts = typer.Typer(no_args_is_help=True, help="账户 / Accounts")


def add_to(app: typer.Typer) -> None:
    commands: dict[str, Callable[..., None]] = {
        "add": add, "list": list_all, "invite": invite, "disable": disable, "enable": enable,
        "reset-password": reset_password, "second-factor": second_factor,
    }  # fmt: skip
    for name, function in commands.items():
        accounts.command(name)(function)
    app.add_typer(accounts, name="account")


def add(
    name: UserName,
    role: Roles,
    enterprise: Enterprise = None,
    organisation: Organisation = "",
    area: Area = "",
    hashed_sign_in: Annotated[
        bool, typer.Option("--hashed-sign-in", help="允许摘要登录 /identity/token/v1 / allow the hashed sign-in")
    ] = False,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """添加账户；生成的密码只显示这一次 / Add an account; a password that is made is shown this once"""
    from registry.accounts import NewAccount, add_account
    from registry.enterprises import get_enterprise_id

    password, is_made = _read_password(password_file)

    async def work() -> "AccountRow":
        async with open_desk(writing=True) as desk:
            number = await get_enterprise_id(desk.conn, enterprise) if enterprise else None
            wanted = NewAccount(name, role, password, "", number, organisation, area, may_sign_in_hashed=hashed_sign_in)
            return await add_account(desk.conn, desk.rules.key_ring, desk.order(), wanted)

    _print_made("account_added", run(work()), password if is_made else None, as_json)


def invite(
    role: Roles,
    enterprise: Enterprise = None,
    organisation: Organisation = "",
    area: Area = "",
    remark: Annotated[str, typer.Option("--for", metavar="TEXT", help="受邀人 / for whom it is")] = "",
    as_json: AsJson = False,
) -> None:
    """生成一次有效、七天内有效的邀请链接 / Make a link that works once, and for seven days"""
    from registry.account_views import format_invitation
    from registry.enterprises import get_enterprise_id
    from registry.invitations import NewInvitation, format_link
    from registry.invitations import invite as make_invitation

    async def work() -> dict[str, Any]:
        async with open_desk(writing=True) as desk:
            number = await get_enterprise_id(desk.conn, enterprise) if enterprise else None
            wanted = NewInvitation(role, number, organisation, area, remark)
            row, token = await make_invitation(desk.conn, desk.order(), wanted)
            return format_invitation(row) | {"link": format_link(desk.settings.console_url, token)}

    made = _format_instants(run(work()), ("created", "expires", "revoked"))
    if as_json:
        print_json(made)
    else:
        until = f"{datetime.fromisoformat(made['expires']).astimezone(ZONE):%Y-%m-%d %H:%M}"
        print(say(INVITATION_LABELS["invitation_link_made"], get_language(), until=until, link=made["link"]))


def list_all(
    enterprise: Annotated[str | None, typer.Option("--enterprise", metavar="E")] = None, as_json: AsJson = False
) -> None:
    """全部账户及其角色 / All accounts with their roles"""
    from registry.enterprises import get_enterprise_id
    from registry.store.accounts import fetch_accounts

    async def read() -> list[dict[str, Any]]:
        async with open_desk() as desk:
            number = await get_enterprise_id(desk.conn, enterprise) if enterprise else None
            return [_format(row) for row in await fetch_accounts(desk.conn, number)]

    found = run(read())
    if as_json:
        print_json(found)
        return
    columns = ("user_name", "roles", "for", "created", "disabled")
    for row in found:
        row["roles"] = ", ".join(row["roles"])
        row["for"] = row["enterprise"] or row["organisation"] or row["division_code"] or "–"
    print(format_table([[row[c] or "–" for c in columns] for row in found], header=columns))


def disable(name: UserName, as_json: AsJson = False) -> None:
    """停用账户，其会话立即结束 / Disable an account; its sessions end at once"""
    from registry.accounts import disable_account

    _change("account_disabled", disable_account, name, as_json)


def enable(name: UserName, as_json: AsJson = False) -> None:
    """重新启用账户 / Enable a disabled account"""
    from registry.accounts import enable_account

    _change("account_enabled", enable_account, name, as_json)


def reset_password(name: UserName, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """设置新密码并结束其全部会话 / Set a new password and end all sessions of the account"""
    from registry.accounts import get_account, set_password

    password, is_made = _read_password(password_file)

    async def work() -> "AccountRow":
        async with open_desk(writing=True) as desk:
            await set_password(desk.conn, desk.rules.key_ring, desk.order(), name, password)
            return await get_account(desk.conn, name)

    _print_made("password_set", run(work()), password if is_made else None, as_json)


def second_factor(
    name: UserName,
    remove: Annotated[bool, typer.Option("--remove", help="关闭，只用密码 / the password alone again")] = False,
    as_json: AsJson = False,
) -> None:
    """登录时要求验证器应用的动态验证码 / Ask for a code of an authenticator app at sign-in"""
    from registry.accounts import remove_second_factor, set_second_factor

    async def work() -> str | None:
        async with open_desk(writing=True) as desk:
            if not remove:
                return await set_second_factor(desk.conn, desk.rules.key_ring, desk.order(), name)
            await remove_second_factor(desk.conn, desk.order(), name)
            return None

    address = run(work())
    if as_json:
        print_json({"user_name": name, "second_factor": address})
    else:
        label = LABELS["second_factor_removed" if remove else "second_factor_set"]
        print(say(label, get_language(), user_name=name, address=address))


def _change(
    label: str,
    change: "Callable[[Connection, Order, str], Awaitable[AccountRow]]",
    name: str,
    as_json: bool,
) -> None:
    async def work() -> "AccountRow":
        async with open_desk(writing=True) as desk:
            return await change(desk.conn, desk.order(), name)

    _print_made(label, run(work()), None, as_json)


def _read_password(path: Path | None) -> tuple[str, bool]:
    """The first line of the file, or a password that is made (True)."""
    from registry.passwords import make_password

    if path is None:
        return make_password(), True
    try:
        text = sys.stdin.readline() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("text_not_unicode", field="password") from error
    return text.split("\n", 1)[0].removesuffix("\r"), False


def _print_made(label: str, row: "AccountRow", password: str | None, as_json: bool) -> None:
    if as_json:
        print_json(_format(row) | ({"password": password} if password is not None else {}))
        return
    print(say(LABELS[label], get_language(), user_name=row.user_name))
    if password is not None:
        print(say(LABELS["password_made"], get_language(), password=password))


def _format(row: "AccountRow") -> dict[str, Any]:
    from registry.account_views import format_account

    return _format_instants(format_account(row), ("created", "disabled"))


def _format_instants(view: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    from registry.record_views import format_instant

    return view | {name: format_instant(view[name]) if view[name] else None for name in names}
