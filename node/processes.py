"""The processes of the node: `python -m node.processes NAME --parent=PID`, sockets as numbers of descriptors.

Each builds what it serves from the settings and calls the serve function of its package. A worker holds many of its
kind in memory: what one does not need is not imported.
"""

import argparse
import gc
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING

from node.logs import set_up_logging
from registry.parent_process import die_with

if TYPE_CHECKING:
    import ssl

    from node.settings import AgentSettings, RegistrySettings, ResolverSettings

PLACES = ("registry", "http", "handle-tcp", "handle-udp", "toplevel", "toplevel-tcp", "toplevel-udp")


def main() -> None:
    arguments = parse_arguments(sys.argv[1:])
    die_with(arguments.parent)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody is there who knows what it is for
    set_up_logging("text", arguments.name)  # until the settings are read
    # What is imported stays: looking for garbage in it takes a tenth of the start. What a resolver caches holds no
    # cycles: a full collection walks every entry, at a million of them for a second.
    gc.set_threshold(20_000, 50, 1_000)
    from schemas.errors import ServiceError
    from schemas.texts import format_message, format_remedy

    sockets = {
        name: socket.socket(fileno=descriptor)
        for name in PLACES
        if (descriptor := getattr(arguments, name.replace("-", "_"))) is not None
    }
    try:
        sys.exit(run(arguments.name, arguments.worker, sockets))
    except ServiceError as error:
        details = {"field": error.field or "", **error.details}
        print(f"{format_message(error.code, 'en', **details)} {format_remedy(error.code, 'en', **details)}", flush=True)
        sys.exit(1)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="node.processes")
    parser.add_argument("name", choices=("registry", "resolver", "agent", "toplevel", "demo"))
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--worker", type=int, default=0)
    for name in PLACES:
        parser.add_argument(f"--{name}", type=int)
    return parser.parse_args(arguments)


def run(name: str, worker: int, sockets: dict[str, socket.socket]) -> int:
    """Serve until SIGTERM; the exit status."""
    from node.settings import AgentSettings, RegistrySettings, ResolverSettings, SharedSettings, load_settings

    set_up_logging(load_settings(SharedSettings).log_format, f"{name}-{worker}" if name == "resolver" else name)

    if name == "registry":
        run_registry(load_settings(RegistrySettings), sockets)
    elif name == "resolver":
        run_resolver(load_settings(ResolverSettings), worker, sockets)
    elif name == "agent":
        run_agent(load_settings(AgentSettings))
    elif name == "toplevel":
        run_toplevel(load_settings(AgentSettings), sockets)
    else:
        from node.cli import run_command

        return run_command(["demo"])
    return 0


def run_registry(settings: "RegistrySettings", sockets: dict[str, socket.socket]) -> None:
    import uvloop

    from node.alarm_pages import SECTION as ALARMS
    from node.application_pages import SECTION as APPLICATIONS
    from node.applications_api import router as applications
    from node.certificate_pages import make_certificate_section
    from node.certificates_api import make_certificates_router, verifying
    from node.closed_day_pages import SECTION as CLOSED_DAYS
    from node.connection_certificates import make_office
    from node.enterprise_node_pages import SECTION as NODES
    from node.enterprise_nodes_api import router as enterprise_nodes
    from node.metrics_api import make_metrics_router
    from node.outbox_pages import SECTION as OUTBOX
    from node.pdf_font import load_soon
    from node.plan_pages import SECTION as PLANS
    from node.plans_api import router as plans
    from node.postgres import get_dsn
    from node.registry_link import find_listening
    from node.secret_key import load_key_ring
    from node.statistics_api import router as statistics
    from node.statistics_pages import SECTION as STATISTICS
    from node.tls import serve_renewing
    from registry.api.state import RegistryConfig
    from registry.app import serve_registry
    from registry.prefixes import NodeRules
    from schemas.process_stats import StatsFile

    config = RegistryConfig(
        database_url=get_dsn(settings.database_url, settings.data_dir),
        public_url=settings.scan_url,
        public_url_is_set=settings.public_url is not None,
        console_url=settings.console_url,
        jobs_dir=settings.jobs_dir,
        log_dir=settings.resolution_log_dir,
        rules=NodeRules(
            settings.prefixes, load_key_ring(settings.secret_key_path), settings.toplevel_approval == "required"
        ),
        language=settings.language,
        trusted_proxies=tuple(map(str, settings.trusted_proxies)),
        stats=StatsFile(settings.stats_dir, "registry"),
        link=settings.link_path,
        link_place=find_listening(settings),
        snms_aliases=settings.snms_aliases,
    )
    load_soon()
    office = make_office(settings, config.rules.key_ring)
    at_root = [make_metrics_router(settings), enterprise_nodes, verifying]

    def serve(tls: "ssl.SSLContext | None") -> Coroutine[None, None, None]:
        served = replace(config, tls=tls)
        more = [statistics, plans, applications, make_certificates_router(office)]
        sections = [STATISTICS, CLOSED_DAYS, PLANS, OUTBOX, ALARMS, APPLICATIONS, NODES]
        sections.append(make_certificate_section(office))
        return serve_registry(served, list(sockets.values()), more, at_root, sections)

    uvloop.run(serve_renewing(serve, settings.tls))


def run_resolver(settings: "ResolverSettings", worker: int, sockets: dict[str, socket.socket]) -> None:
    import uvloop

    from node.postgres import get_dsn
    from node.probe_token import get_probe_token
    from node.registry_link import find_asking, make_asking_context
    from node.tls import serve_renewing
    from resolver.upstream import UpstreamSettings
    from resolver.worker import WorkerConfig, make_site, serve_worker
    from schemas.process_stats import StatsFile

    upstream = None
    if settings.upstream_url is not None:
        upstream = UpstreamSettings(settings.upstream_url, settings.upstream_allow_private)
    config = WorkerConfig(
        database_url=get_dsn(settings.read_url, settings.data_dir),
        log_dir=settings.resolution_log_dir,
        name=f"resolver-{worker}-{os.getpid()}",  # no two writers, not even a successor, share a name
        http_sockets=[sockets["http"]],
        handle_tcp_sockets=[sockets["handle-tcp"]],
        handle_udp_sockets=[sockets["handle-udp"]],
        own_prefixes=settings.prefixes,
        public_url=settings.public_url,
        fallback_url=settings.scan_url,
        report_url=settings.report_url,
        site=make_site(settings.site_address, settings.handle_port, settings.resolver_http_port),
        cache_bytes=settings.cache_megabytes * 1_048_576,
        udp_per_second=settings.udp_per_second,
        udp_exempt=settings.udp_unlimited_networks,
        half_read_bytes=settings.half_read_megabytes * 1_048_576,
        language=settings.language,
        trusted_proxies=settings.trusted_proxies,
        upstream=upstream,
        stats=StatsFile(settings.stats_dir, f"resolver-{worker}"),
        prefix_memory=settings.run_dir / "prefixes.json",
        link=find_asking(settings),
        link_tls=make_asking_context(settings),
        probe_token=get_probe_token(settings.run_dir),
    )
    uvloop.run(serve_renewing(lambda tls: serve_worker(replace(config, tls=tls)), settings.tls))


def run_toplevel(settings: "RegistrySettings", sockets: dict[str, socket.socket]) -> None:
    import asyncio

    from node.toplevel.process import TopLevelConfig, serve_toplevel

    opened = (sockets[name] for name in ("toplevel", "toplevel-tcp", "toplevel-udp"))
    asyncio.run(serve_toplevel(TopLevelConfig(settings.toplevel_dir, *opened)))


def run_agent(settings: "AgentSettings") -> None:
    import asyncio

    from node.agent import run_agent as serve_agent

    asyncio.run(serve_agent(settings))


if __name__ == "__main__":
    main()
