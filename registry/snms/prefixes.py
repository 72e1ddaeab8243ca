"""Prefixes (§d.6, N6 to N9): who holds one, lists, and where its identifiers are kept."""

from ipaddress import ip_address

from registry.prefixes import get_prefix, host_prefix, make_site
from registry.snms import texts
from registry.snms.calls import SnmsCall
from registry.snms.dossiers import naming
from registry.snms.edge import Route
from registry.snms.fields import Fields, Refusal
from registry.snms.pages import format_page, format_time, read_filter, read_page
from registry.store.enterprises import fetch_enterprise
from registry.store.pages import PrefixLine, fetch_prefix_lines
from registry.store.placements import fetch_present_placements
from schemas.enterprises import format_industry
from schemas.industries import format_division
from schemas.prefixes import MAX_PREFIX_CHARACTERS, PrefixState, find_secondary_prefix

# The node keeps all hosted prefixes in one place.
OWN_SERVER = 1
_PORTS = (("tcp", "tcpPort"), ("udp", "udpPort"), ("http", "httpPort"))
_CONFIG = "entPrefixConfig"


async def query(call: SnmsCall) -> object:
    """What is known of a prefix and of who holds it; one of somebody else is not found."""
    prefix = call.read_fields().get_text("prefix", MAX_PREFIX_CHARACTERS).strip()
    async with call.connect() as conn:
        row = await get_prefix(conn, call.get_principal(), prefix)
        enterprise = await fetch_enterprise(conn, row.enterprise_id)
        placement = (await fetch_present_placements(conn, [row.enterprise_id])).get(row.enterprise_id)
    dossier = enterprise.dossier if enterprise else {}
    website = dossier.get("website", "")
    division = format_division(placement.division_code) if placement else ""
    address = dossier.get("address", "")
    return {
        "prefix": row.prefix,
        "createDate": format_time(row.created),
        "ghrName": find_secondary_prefix(row.prefix, call.state.config.rules.node_prefixes) or "",
        "status": int(row.state),
        "entNameCn": row.enterprise_name,
        "entWebSite": website,
        "entSite": website,
        "entIndustry": format_industry(placement.industry) if placement else "",
        "entAddrCn": address if address.startswith(division) else division + address,
        "entDesc": dossier.get("description", ""),
    }


async def page(call: SnmsCall) -> object:
    fields, principal = call.read_fields(), call.get_principal()
    wanted, narrowed = read_page(fields), read_filter(fields, principal, "entName", "entPrefix")
    async with call.connect() as conn:
        lines, total = await fetch_prefix_lines(conn, narrowed, wanted.offset, wanted.size)
    return format_page([_format(line) for line in lines], total, wanted)


def _format(line: PrefixLine) -> dict[str, object]:
    return {
        "id": line.prefix_id,
        "createDate": format_time(line.created),
        "updateDate": format_time(line.changed),
        "entPrefix": line.prefix,
        "entprefix": line.prefix,
        "entId": line.enterprise_id,
        "state": int(line.state is PrefixState.ENABLED),
        "entName": line.enterprise_name,
        "proxyState": int(line.hosting),
    }


async def configure(call: SnmsCall) -> object:
    """With `proxyServerId` the identifiers are kept here, else at the enterprise's own server, which is named."""
    fields = call.read_fields()
    config = fields.get_object(_CONFIG)
    prefix = config.get_text("entPrefix", MAX_PREFIX_CHARACTERS).strip()
    server = fields.find_number("proxyServerId", -(2**62), 2**62)
    if server is not None and server != OWN_SERVER:
        raise Refusal(texts.HOSTING_SERVER_UNKNOWN.format(id=server, own=OWN_SERVER))
    site = _read_site(config) if server is None else None
    async with call.write() as conn:
        with naming({"prefix": f"{_CONFIG}.entPrefix"}):
            await host_prefix(conn, call.order(), prefix, site)
    return True


def _read_site(config: Fields) -> bytes:
    """The HS_SITE of an enterprise's own server."""
    if config.get_text("hdlType", 255).strip().upper() != "HS_SITE":
        raise Refusal(texts.HANDLE_TYPE.format(name=f"{_CONFIG}.hdlType"))
    address = config.get_text("ip", 255).strip().strip("[]")
    family = config.get_choice("ipType", {4: "IPv4", 6: "IPv6"})
    found = ((name, config.find_number(member, 1, 65_535)) for name, member in _PORTS)
    ports = {name: port for name, port in found if port is not None}
    if not ports:
        raise Refusal(texts.PORT_MISSING)
    with naming({"address": f"{_CONFIG}.ip"}):
        site = make_site(address, ports)
    if ip_address(address).version != family:
        raise Refusal(texts.ADDRESS_FAMILY.format(name=f"{_CONFIG}.ipType", address=address, family=family))
    return site


ROUTES = {
    ("GET", "/snms/api/prefix/query"): Route(query),
    ("GET", "/snms/api/prefix/page"): Route(page),
    ("POST", "/snms/api/ent/config"): Route(configure, scope="manage"),
}
