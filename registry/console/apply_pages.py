"""The public application of a new firm: its dossier and its first account; the state is on its start page."""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from fastapi import Response

from registry.accounts import NewAccount, add_account, check_user_name
from registry.console.dossier_form import check_filled, list_form, merge_form
from registry.console.enterprise_pages import keep_files, read_dossier
from registry.console.sections import Section
from registry.console.visits import Anybody, AnybodyPosting, Form, Post, Problem, collect
from registry.enterprises import apply
from registry.late_routes import LateRouter
from registry.passwords import check_password
from registry.prefixes import suggest_prefix
from registry.principals import Order, Principal
from registry.sign_in import group_address
from schemas.errors import InvalidInput, SlowDown
from schemas.prefixes import check_new_prefix

router = LateRouter(prefix="/apply")
SECTION = Section(router)

MOST_IN_AN_HOUR = 5  # applications from one address; a chamber of commerce uses the operator's file instead
_filed: dict[str, deque[datetime]] = defaultdict(deque)


@router.get("")
async def show_form(visit: Anybody) -> Response:
    async with visit.connect() as conn:
        suggested = await suggest_prefix(conn, visit.state.config.rules)
    return visit.page("apply.html", fields={"prefix": suggested})


@router.post("")
async def file(post: AnybodyPosting) -> Response:
    """All or nothing: enterprise, prefix, attachments and account."""
    problems: dict[str, Problem] = {}
    with collect(problems, post):
        _check_pace(post.address, post.state.now())
        await _check(post, problems)
    if not problems:
        with collect(problems, post):
            enterprise_id = await _file(post)
    if problems:
        fields = list_form({}) | {
            name: text for name, text in post.form.to_dict().items() if name not in ("password", "repeated")
        }
        return post.page("apply.html", status=400, fields=fields, problems=problems)
    _filed[group_address(post.address)].append(post.state.now())
    return post.page("applied.html", enterprise_id=enterprise_id, user_name=post.form["user_name"])


async def _check(post: Post, problems: dict[str, Problem]) -> None:
    """Whoever has several things to mend is told of all of them at once."""
    form = post.form
    async with post.connect() as conn:
        with collect(problems, post):
            await read_dossier(conn, merge_form({}, form))
        with collect(problems, post):
            _check_prefix(form["prefix"], post.state.config.rules.node_prefixes)
        with collect(problems, post):
            await check_user_name(conn, form["user_name"], None)
    with collect(problems, post):
        check_password(_get_password(form), form["user_name"])
    with collect(problems, post):
        check_filled(form, ("user_name", "password"))
    with collect(problems, post):
        if _get_password(form) != dict(form.items).get("repeated", ""):
            raise InvalidInput("password_repeated_wrong", field="repeated")


def _check_prefix(prefix: str, node_prefixes: Sequence[str]) -> None:
    """Raises InvalidInput; none is as well: the next free one is allotted then."""
    if prefix and check_new_prefix(prefix, node_prefixes) in node_prefixes:
        raise InvalidInput("prefix_reserved", field="prefix", prefix=prefix)


def _get_password(form: Form) -> str:
    """With blanks at its ends: they are part of it."""
    return dict(form.items).get("password", "")


def _check_pace(address: str, now: datetime) -> None:
    """Raises SlowDown. Kept in memory: a restart forgives."""
    times = _filed[group_address(address)]
    while times and now - times[0] > timedelta(hours=1):
        times.popleft()
    if len(times) >= MOST_IN_AN_HOUR:
        seconds = int((times[0] + timedelta(hours=1) - now).total_seconds()) + 1
        raise SlowDown("application_slow_down", minutes=seconds // 60 + 1)


async def _file(post: Post) -> int:
    """The applicant files under the name of his account, so that he himself can never decide on it."""
    user_name, rules = post.form["user_name"], post.state.config.rules
    applicant = Principal("operator", f"account:{user_name}"[:80])
    order = Order(applicant, post.state.now(), address=post.address)
    async with post.write() as conn:
        document = merge_form({}, post.form)
        if post.form["prefix"]:
            document["prefix"] = post.form["prefix"]
        await keep_files(conn, post, order, document)
        enterprise_id = await apply(conn, rules, order, await read_dossier(conn, document))
        wanted = NewAccount(user_name, ["enterprise_admin"], _get_password(post.form), enterprise_id=enterprise_id)
        await add_account(conn, rules.key_ring, order, wanted)
    return enterprise_id
