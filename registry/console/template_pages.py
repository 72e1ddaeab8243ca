"""Templates: the list, one, the editor, and starters taken with one click."""

import re
from typing import Annotated, Any

from fastapi import Query, Response

from registry.api.problems import InvalidBody
from registry.api.targets import get_known_template
from registry.console.identifier_pages import choose_prefix, list_own_prefixes
from registry.console.sections import Entry, Section, is_registrar
from registry.console.starters import list_starters
from registry.console.uploads import describe_draft
from registry.console.visits import Form, Post, Posting, Problem, Visit, Visiting
from registry.late_routes import LateRouter
from registry.templates import add_template, change_template, delete_template, list_templates
from schemas.errors import InvalidInput, ServiceError
from schemas.templates import DATA_TYPES, STAGES, Visibility, format_template, list_problems

router = LateRouter(prefix="/templates")
SECTION = Section(router, (Entry("/templates", "templates", "group_work", is_registrar),))

Text = Annotated[str, Query(max_length=4_096)]
MAX_ROWS = 200
BLANK_ROWS = 3
_HEAD = ("version", "name.zh", "name.en", "stage", "industry")  # what stands above the rows
_ROW = re.compile(r"items\[(\d+)\](?:\.(\w+))?(?:\.(\w+))?")


@router.get("")
async def list_all(visit: Visiting, prefix: Text = "") -> Response:
    async with visit.connect() as conn:
        prefixes = await list_own_prefixes(conn, visit)
        chosen = choose_prefix(prefix, prefixes)
        templates = await list_templates(conn, visit.get_principal(), chosen) if chosen else []
    return visit.page("templates.html", prefixes=prefixes, prefix=chosen, templates=templates, starters=list_starters())


@router.get("/one")
async def show_template(visit: Visiting, prefix: Text, version: Text) -> Response:
    async with visit.connect() as conn:
        template = await get_known_template(conn, visit, prefix, version)
    return visit.page("template.html", template=template, prefix=prefix)


@router.get("/new")
async def show_new(
    visit: Visiting, prefix: Text = "", draft: Text = "", sheet: Text = "", header_row: int | None = None
) -> Response:
    """Empty, or as the columns of a file suggest."""
    visit.get_principal().check_scope("templates")
    document: dict[str, Any] = {"items": []}
    async with visit.connect() as conn:
        prefixes = await list_own_prefixes(conn, visit)
    if draft:
        described = await describe_draft(visit, draft, sheet, header_row)
        document, prefix = described.document, described.prefix
    fields = _to_fields(document) | {"prefix": choose_prefix(prefix, prefixes), "draft": draft}
    fields |= {"sheet": sheet, "header_row": str(header_row or "")}
    return _show_editor(
        visit, fields, len(document["items"]) + (0 if draft else BLANK_ROWS), [row.prefix for row in prefixes]
    )


@router.get("/edit")
async def show_edit(visit: Visiting, prefix: Text, version: Text) -> Response:
    visit.get_principal().check_scope("templates")
    async with visit.connect() as conn:
        template = await get_known_template(conn, visit, prefix, version)
    fields = _to_fields(format_template(template)) | {"prefix": prefix, "old": template.version}
    return _show_editor(visit, fields, len(template.items), [prefix])


def _to_fields(document: dict[str, Any]) -> dict[str, str]:
    """A document → the texts of the form."""
    name = document.get("name", {})
    fields = {
        "name_zh": name.get("zh", ""),
        "name_en": name.get("en", ""),
        "version": document.get("version", ""),
        "stage": document.get("stage", "production"),
        "industry": "/".join(document.get("industry") or ()),
        "enabled": "yes" if document.get("enabled", True) else "",
    }
    for n, item in enumerate(document["items"]):
        row = {
            "name_zh": item["name"].get("zh", ""),
            "name_en": item["name"].get("en", ""),
            "type": item["type"],
            "data": item.get("data", "text"),
            "max_length": item.get("max_length", 255),
            "visibility": item.get("visibility", "public"),
            "required": "yes" if item.get("required") else "",
            "enabled": "yes" if item.get("enabled", True) else "",
            "index": item.get("index", ""),
        }
        fields |= {f"i.{n}.{key}": str(text) for key, text in row.items()}
    return fields


def _show_editor(
    visit: Visit, fields: dict[str, str], rows: int, prefixes: list[str], problems: dict[str, Problem] | None = None
) -> Response:
    known = {"prefix": "", "old": ""} | fields  # a form may come without them
    return visit.page(
        "template_edit.html", status=400 if problems else 200, fields=known, rows=rows, prefixes=prefixes,
        kinds=DATA_TYPES, stages=STAGES, visibilities=[v.name.lower() for v in Visibility], problems=problems or {},
    )  # fmt: skip


def _read_row_count(form: Form) -> int:
    text = form["rows"]
    return min(MAX_ROWS, int(text)) if text.isdecimal() and len(text) < 5 else 0


@router.post("/save")
async def save(post: Posting) -> Response:
    """A button of the editor: one more row, one less, or done."""
    post.get_principal().check_scope("templates")
    form, action = post.form, post.form["action"]
    count = _read_row_count(form)
    async with post.connect() as conn:
        prefixes = [row.prefix for row in await list_own_prefixes(conn, post)]
    if action == "add":
        return _show_editor(post, form.to_dict(), min(MAX_ROWS, count + 1), prefixes)
    if action.startswith("remove."):
        return _show_editor(
            post, _without_row(form.to_dict(), action.removeprefix("remove."), count), count - 1, prefixes
        )
    kept, document = _read_document(form, count)
    try:
        _check_document(form, document)
        async with post.write() as conn:
            if form["old"]:
                await change_template(conn, post.order(), form["prefix"], form["old"], document)
            else:
                await add_template(conn, post.order(), form["prefix"], document)
    except ServiceError as error:
        problems = {_find_row_field(name, kept): problem for name, problem in post.explain(error).items()}
        return _show_editor(post, form.to_dict(), count, prefixes, problems)
    if form["draft"]:
        query = {"template": form["version"], "sheet": form["sheet"], "header_row": form["header_row"]}
        return post.redirect(
            f"/imports/drafts/{form['draft']}", "template_saved", **{k: v for k, v in query.items() if v}
        )
    version = form["old"] or form["version"]
    return post.redirect("/templates/one", "template_saved", prefix=form["prefix"], version=version)


def _check_document(form: Form, document: dict[str, Any]) -> None:
    """Whoever has several things to mend is told of all of them at once; raises InvalidBody."""
    wrong: list[InvalidInput] = []
    if not document["items"]:
        wrong.append(InvalidInput("template_without_items", field="i.0.name_zh"))
    wrong += list_problems({"version": form["old"], **document, "items": document["items"] or [{"type": "-"}]})
    if wrong:
        wrong.sort(key=lambda error: _HEAD.index(error.field) if error.field in _HEAD else len(_HEAD))
        raise InvalidBody([(error.code, error.field or "", error.details) for error in wrong])


def _without_row(fields: dict[str, str], gone: str, count: int) -> dict[str, str]:
    kept = {name: text for name, text in fields.items() if not name.startswith("i.")}
    rows = [n for n in range(count) if str(n) != gone]
    for new, old in enumerate(rows):
        head = f"i.{old}."
        kept |= {f"i.{new}.{n.removeprefix(head)}": text for n, text in fields.items() if n.startswith(head)}
    return kept


def _read_document(form: Form, count: int) -> tuple[list[int], dict[str, Any]]:
    """The rows that say something, and the document they make."""
    kept = [n for n in range(count) if any(form[f"i.{n}.{name}"] for name in ("name_zh", "name_en", "type"))]
    document: dict[str, Any] = {
        "name": {"zh": form["name_zh"], "en": form["name_en"]},
        "stage": form["stage"] or "production",
        "enabled": form["enabled"] == "yes" if form["old"] else True,
        "items": [_read_item(form, n) for n in kept],
    }
    if not form["old"]:
        document["version"] = form["version"]
    if form["industry"]:
        document["industry"] = form["industry"].split("/")
    return kept, document


def _read_item(form: Form, n: int) -> dict[str, Any]:
    def read(name: str) -> str:
        return form[f"i.{n}.{name}"]

    length = read("max_length") or "255"
    item: dict[str, Any] = {
        "type": read("type"),
        "name": {"zh": read("name_zh"), "en": read("name_en")},
        "data": read("data") or "text",
        "max_length": int(length) if length.isdecimal() and len(length) < 8 else -1,
        "visibility": read("visibility") or "public",
        "required": read("required") == "yes",
    }
    if read("index").isdecimal() and len(read("index")) < 11:
        item |= {"index": int(read("index")), "enabled": read("enabled") == "yes"}
    return item


def _find_row_field(name: str, kept: list[int]) -> str:
    """`items[2].max_length` → the field of that row."""
    found = _ROW.fullmatch(name)
    if not found or int(found[1]) >= len(kept):
        return {"name.zh": "name_zh", "name.en": "name_en"}.get(name, name)
    part = {"name": f"name_{found[3] or 'zh'}", None: "type"}.get(found[2], found[2])
    return f"i.{kept[int(found[1])]}.{part}"


@router.post("/starter")
async def take_starter(post: Posting) -> Response:
    """One click: the starter under its own name, ready to be used and changed."""
    post.get_principal().check_scope("templates")
    document = list_starters().get(post.form["starter"])
    if document is None:
        raise InvalidInput("field_not_a_choice", field="starter", choices=", ".join(list_starters()))
    prefix = post.form["prefix"]
    async with post.write() as conn:
        template, _ = await add_template(conn, post.order(), prefix, document)
    return post.redirect("/templates/one", "template_saved", prefix=prefix, version=template.version)


@router.get("/act")
async def show_act(visit: Visiting, prefix: Text, version: Text, action: Text) -> Response:
    visit.get_principal().check_scope("templates")
    async with visit.connect() as conn:
        template = await get_known_template(conn, visit, prefix, version)
    return visit.page("template_act.html", template=template, prefix=prefix, action=_check_action(action))


def _check_action(action: str) -> str:
    if action not in ("withdraw", "reopen", "delete"):
        raise InvalidInput("field_not_a_choice", field="action", choices="withdraw, reopen, delete")
    return action


@router.post("/act")
async def act(post: Posting) -> Response:
    """Withdraw, offer again, or delete where nothing uses it."""
    post.get_principal().check_scope("templates")
    prefix, version, action = post.form["prefix"], post.form["version"], _check_action(post.form["action"])
    try:
        async with post.write() as conn:
            if action == "delete":
                await delete_template(conn, post.order(), prefix, version)
            else:
                await change_template(conn, post.order(), prefix, version, {"enabled": action == "reopen"})
    except ServiceError as error:
        return await _show_refused_act(post, prefix, version, action, error)
    if action == "delete":
        return post.redirect("/templates", "template_deleted", prefix=prefix)
    return post.redirect("/templates/one", "template_saved", prefix=prefix, version=version)


async def _show_refused_act(post: Post, prefix: str, version: str, action: str, error: ServiceError) -> Response:
    async with post.connect() as conn:
        template = await get_known_template(conn, post, prefix, version)
    problems = post.explain(error)
    return post.page(
        "template_act.html", status=400, template=template, prefix=prefix, action=action, problems=problems
    )  # fmt: skip
