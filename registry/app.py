"""The registry process: one application, one pool, one log of what it answers, and the jobs it starts."""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from asyncpg import Connection
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from registry.api import (
    access_keys,
    accounts,
    attachments,
    batches,
    dictionaries,
    docs_page,
    enterprises,
    exports,
    health,
    identifiers,
    invitations,
    jobs,
    partners,
    prefixes,
    problem_reports,
    ranges,
    reading,
    resolving,
    sandboxes,
    sign_in,
    streams,
    templates,
)
from registry.api.enterprises import ARRIVING
from registry.api.gate import Gate, name_route
from registry.api.head import HeadAsGet
from registry.api.jobs import RECEIPT
from registry.api.problems import handle
from registry.api.state import RegistryConfig, RegistryState, open_pool
from registry.api.watch import Watch
from registry.attachments import clean_attachments
from registry.audit import keep_numbering
from registry.console.app import make_console
from registry.console.sections import Section
from registry.http_protocol import BoundedProtocol
from registry.job_runner import run_jobs
from registry.jobs import clear_old_jobs
from registry.link import serve_link
from registry.problem_reports import forget_contacts
from registry.sandbox import reset_due_sandboxes
from registry.snms.edge import SnmsEdge
from registry.snms.routes import make_routes
from registry.store import DATABASE_AWAY
from registry.store.idempotency import delete_old_answers
from registry.store.latencies import add_latencies
from registry.store.streams import delete_old_streams
from registry.tokens import forget_old_sessions
from schemas.errors import Unavailable
from schemas.http_heads import STRICT_TRANSPORT
from schemas.process_stats import PUBLISH_SECONDS
from schemas.segments import WATCH_SECONDS, SegmentWriter

__all__ = ["RegistryConfig", "RegistryState", "create_app", "serve_registry"]

STOP_SECONDS = 10
CLEAR_SECONDS = 600.0
COUNTS_SECONDS = 30.0
logger = logging.getLogger("idnode.registry")

# In this order: an action of an identifier before the identifier itself, whose path takes any characters.
_ROUTERS = (
    batches.router, streams.router, resolving.router, identifiers.router, reading.router, ranges.router,
    templates.router, enterprises.router, prefixes.router, dictionaries.router, access_keys.router,
    attachments.router, jobs.router, sign_in.router, accounts.router, partners.router,
    sandboxes.router, exports.router, problem_reports.router, invitations.router,
)  # fmt: skip


def create_app(
    state: RegistryState,
    more: Sequence[APIRouter] = (),
    at_root: Sequence[APIRouter] = (),
    sections: Sequence[Section] = (),
) -> FastAPI:
    """The application; `more` and `at_root` are routers of other packages, with paths below `/api/v1` and elsewhere.

    `sections` are pages of other packages for the console.
    """
    app = FastAPI(title="idnode", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.registry = state
    # As they are: `include_router` would go through every route once more, which takes a third of a second.
    for router in (docs_page.router, health.router, *at_root):
        app.routes.extend(router.routes)
    for router in (*_ROUTERS, *more):
        if not router.prefix.startswith("/api/v1"):
            raise ValueError(f"a router of the API says its whole path: {router.prefix!r}")
        app.routes.extend(router.routes)
    app.mount("/console", make_console(state, sections, find_summaries(app)))
    app.add_exception_handler(RequestValidationError, handle)
    app.add_exception_handler(HTTPException, handle)
    app.add_middleware(Gate, state=state)
    app.add_middleware(SnmsEdge, state=state, routes=make_routes(state.config.snms_aliases))
    app.add_middleware(HeadAsGet)
    app.add_middleware(Watch, counts=state.requests)
    return app


def find_summaries(app: FastAPI) -> dict[str, str]:
    """What routes of the API do, by what the audit trail calls them."""
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    return {name_route(method, route.path): route.summary or "" for route in routes for method in route.methods or ()}


async def serve_registry(
    config: RegistryConfig,
    sockets: Sequence[socket.socket],
    more: Sequence[APIRouter] = (),
    at_root: Sequence[APIRouter] = (),
    sections: Sequence[Section] = (),
) -> None:
    """Serve on sockets that listen until SIGTERM or SIGINT; requests under way are finished."""
    clear_unfinished(config.jobs_dir)
    segments = SegmentWriter(config.log_dir, f"registry-{os.getpid()}")
    try:
        async with open_pool(config.database_url) as pool:
            state = RegistryState(config, pool, segments)
            server = make_server(create_app(state, more, at_root, sections), config)
            # What is there now stays: going through it again with every large request doubles what that costs.
            gc.collect()
            gc.freeze()
            tasks = [
                asyncio.create_task(run_jobs(config.database_url, config.jobs_dir, state.job_added)),
                asyncio.create_task(clear_old_things(state)),
                asyncio.create_task(keep_numbering(state.connect)),
                asyncio.create_task(watch_log(segments)),
                asyncio.create_task(publish_stats(state)),
                asyncio.create_task(keep_counts(state)),
            ]
            try:
                async with serve_link(state, config.link, config.link_place):
                    await server.serve(sockets=list(sockets))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        segments.close()


def clear_unfinished(jobs_dir: Path) -> None:
    """Delete what a killed process left half received or half written; jobs keep their files under other names."""
    for pattern in (f"{ARRIVING}*", f"{RECEIPT}*"):
        for path in jobs_dir.glob(pattern):
            path.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """uvicorn raises a signal it caught once more when it has stopped; we are done then and end with status 0."""

    def handle_exit(self, sig: int, frame: object) -> None:
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


async def watch_log(segments: SegmentWriter) -> None:
    """See whether the disk still takes what is logged, until cancelled."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await asyncio.to_thread(segments.begin_sync())
        except OSError as error:
            segments.give_up(error)


async def publish_stats(state: RegistryState) -> None:
    """What monitoring reads, until cancelled."""
    file = state.config.stats
    if file is None:
        return
    loop, late = asyncio.get_running_loop(), 0.0
    try:
        while True:
            counts = state.requests
            file.write(
                {
                    "requests": {str(status): number for status, number in counts.by_status.items()},
                    "request_seconds": counts.seconds,
                    "log_missing": state.segments.missing,
                    "delay_seconds": late,
                }
            )
            due = loop.time() + PUBLISH_SECONDS
            await asyncio.sleep(PUBLISH_SECONDS)
            late = loop.time() - due
    finally:
        file.remove()


async def keep_counts(state: RegistryState) -> None:
    """Write how long registering took and how many keys were wrong, until cancelled, and then once more."""
    try:
        while True:
            await asyncio.sleep(COUNTS_SECONDS)
            await write_latencies(state)
            await state.refusals.flush(state.connect, state.now())
    finally:
        await write_latencies(state)
        await state.refusals.flush(state.connect, state.now(), ending=True)


async def write_latencies(state: RegistryState) -> None:
    """While the database is away nothing is registered: what cannot be written is little, and is left."""
    spans = state.requests.latencies.take()
    if not spans:
        return
    with suppress(Unavailable, *DATABASE_AWAY):
        async with state.connect() as conn, conn.transaction():
            await add_latencies(conn, "register", spans)


def make_server(app: FastAPI, config: RegistryConfig) -> uvicorn.Server:
    """Uvicorn as we run it; it takes sockets and opens none."""
    return _Server(
        uvicorn.Config(
            app,
            loop="none",
            http=cast(Any, partial(BoundedProtocol, config.language)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(config.trusted_proxies),
            forwarded_allow_ips=list(config.trusted_proxies),
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_SECONDS,
            headers=[STRICT_TRANSPORT] if config.tls else [],
            ssl_context_factory=(lambda *_: cast(ssl.SSLContext, config.tls)) if config.tls else None,
        )
    )


async def clear_old_things(state: RegistryState) -> None:
    """Delete what has had its time: answers kept for Idempotency-Keys, files of jobs, files of no dossier."""
    while True:
        for clear in _CLEARING:
            try:
                with suppress(Unavailable, *DATABASE_AWAY):
                    async with state.connect() as conn:
                        await clear(state, conn)
            except Exception:  # what cannot be cleared must not keep the rest from being cleared
                logger.exception("old things could not be deleted")
        await asyncio.sleep(CLEAR_SECONDS)


async def _forget_answers(state: RegistryState, conn: Connection) -> None:
    """After seven days, a thousand at a time."""
    while await delete_old_answers(conn, state.now()):
        pass
    while await delete_old_streams(conn, state.now()):
        pass


async def _reset_sandboxes(state: RegistryState, conn: Connection) -> None:
    """Within ten minutes after midnight."""
    await reset_due_sandboxes(conn, state.now())


async def _forget_sessions(state: RegistryState, conn: Connection) -> None:
    await forget_old_sessions(conn, state.now())


async def _forget_contacts(state: RegistryState, conn: Connection) -> None:
    await forget_contacts(conn, state.now())


async def _clear_jobs(state: RegistryState, conn: Connection) -> None:
    await clear_old_jobs(conn, state.config.jobs_dir, state.now())


async def _clean_attachments(state: RegistryState, conn: Connection) -> None:
    await clean_attachments(conn, state.config.attachments.directory, state.now())


_CLEARING = (
    _forget_answers, _reset_sandboxes, _forget_sessions, _clear_jobs, _clean_attachments, _forget_contacts,
)  # fmt: skip
