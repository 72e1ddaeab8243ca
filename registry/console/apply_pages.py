"""The public application of a new firm: its dossier and its first account; the state is on its start page."""

from collections import defaultdict, deque
from datetime import datetime, timedelta

from fastapi import Response

from registry.accounts import NewAccount, add_account
from registry.console.dossier_form import COMPULSORY, check_filled, merge_form
from registry.console.enterprise_pages import keep_files, read_dossier
from registry.console.sections import Section
from registry.console.visits import Anybody, AnybodyPosting, Post, Problem
from registry.enterprises import apply
from registry.late_routes import LateRouter
from registry.prefixes import suggest_prefix
from registry.principals import Order, Principal
from registry.sign_in import group_address
from schemas.errors import InvalidInput, ServiceError, SlowDown

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
    texts = dict(post.form.items)
    try:
        _check_pace(post.address, post.state.now())
        check_filled(post.form, (*COMPULSORY, "user_name", "password"))
        if texts.get("password", "") != texts.get("repeated", ""):
            raise InvalidInput("password_repeated_wrong", field="repeated")
        enterprise_id = await _file(post, texts.get("password", ""))
    except ServiceError as error:
        problems: dict[str, Problem] = post.explain(error)
        fields = {name: text for name, text in post.form.to_dict().items() if name not in ("password", "repeated")}
        return post.page("apply.html", status=400, fields=fields, problems=problems)
    _filed[group_address(post.address)].append(post.state.now())
    return post.page("applied.html", enterprise_id=enterprise_id, user_name=post.form["user_name"])


def _check_pace(address: str, now: datetime) -> None:
    """Raises SlowDown. Kept in memory: a restart forgives."""
    times = _filed[group_address(address)]
    while times and now - times[0] > timedelta(hours=1):
        times.popleft()
    if len(times) >= MOST_IN_AN_HOUR:
        seconds = int((times[0] + timedelta(hours=1) - now).total_seconds()) + 1
        raise SlowDown("application_slow_down", minutes=seconds // 60 + 1)


async def _file(post: Post, password: str) -> int:
    """The applicant files under the name of his account, so that he himself can never decide on it."""
    user_name, rules = post.form["user_name"], post.state.config.rules
    if (prefix := post.form["prefix"].strip()) in rules.node_prefixes:
        raise InvalidInput("prefix_reserved", field="prefix", prefix=prefix)
    applicant = Principal("operator", f"account:{user_name}"[:80])
    order = Order(applicant, post.state.now(), address=post.address)
    async with post.write() as conn:
        document = merge_form({}, post.form)
        if post.form["prefix"]:
            document["prefix"] = post.form["prefix"]
        await keep_files(conn, post, order, document)
        enterprise_id = await apply(conn, rules, order, await read_dossier(conn, document))
        wanted = NewAccount(user_name, ["enterprise_admin"], password, enterprise_id=enterprise_id)
        await add_account(conn, rules.key_ring, order, wanted)
    return enterprise_id
