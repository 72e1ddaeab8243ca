"""`idnode up`: starts everything on this machine, keeps it running, stops it in order (design 3).

One thread starts and watches; it must be the main one, since children die with the thread that started them.
"""

import asyncio
import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal, TypeVar

from node.announcement import announce
from node.child import PAUSES_SECONDS, Child
from node.child_log import ChildLog, print_line
from node.demo_files import check_demo_allowed, find_demo_files
from node.first_account import USER_NAME, make_first_account
from node.listening import list_places, open_sockets
from node.migrations import check_schema, connect, migrate
from node.postgres import EmbeddedPostgres, get_dsn, make_directory
from node.postgres_probe import SOCKET_NAME, read_socket_dir
from node.readiness import ask_all
from node.registry_link import check_link
from node.secret_key import load_key_ring
from node.settings import NodeSettings
from node.tls import check_files
from node.watch import SupervisorWatch
from node.wording import say
from schemas.errors import SetupError
from schemas.process_stats import PUBLISH_SECONDS, StatsFile
from schemas.texts import accounts, format_message
from schemas.texts.supervisor import LABELS

Result = TypeVar("Result")
Part = Literal["node", "registry", "resolver", "agent"]  # the node is all of them, with the database

READY_SECONDS = 60.0
LOOK_SECONDS = 1.0  # a death wakes the supervisor at once; this is for what was put off
GRACE_SECONDS = 15.0  # then children are killed
HURRIED_SECONDS = 1.0  # after a second Ctrl-C
PLACES_OF = {"registry": ("registry",), "resolver": ("http", "handle-tcp", "handle-udp"), "agent": ()}
DEATHS_AT_START = 3  # a child that dies so often before the node is ready has a reason to be told
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """Somebody asked the node to stop while it was starting something."""


class Supervisor:
    """All processes of one node, or one part of them; `run` returns the exit status."""

    def __init__(self, settings: NodeSettings, part: Part = "node", with_demo: bool = False) -> None:
        self._settings, self._part, self._with_demo = settings, part, with_demo
        self._log_dir = settings.data_dir / "logs"
        wanted = PLACES_OF.get(part)
        self._places = [place for place in list_places(settings) if wanted is None or place.name in wanted]
        self._children: list[Child] = []
        self._loader: Child | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_due, self._postgres_failures = 0.0, 0
        self._lock: IO[str] | None = None
        self._stop_requests, self._reload_wanted = 0, False
        self._task: asyncio.Task[Any] | None = None  # what `_call` waits for
        self._stopping_postgres = False
        self._dsn = ""
        self._stats = StatsFile(settings.stats_dir, f"supervisor-{part}")
        self._published, self._postgres_deaths = -PUBLISH_SECONDS, 0
        self._watch = SupervisorWatch(settings, self._runs_agent)

    def run(self) -> int:
        """Start, watch until a signal asks to stop, stop. Raises SetupError if the node cannot start like this."""
        status = 0
        with self._signals() as wakeup:
            try:
                self._prepare()
                self._start_children(wakeup)
                self._watch.start()
                status = self._load_demo(wakeup)
                if status == 0:
                    table = self._call(announce(self._settings, self._dsn, self._places))
                    with suppress(OSError):  # nobody reads it
                        print(table, flush=True)
                while status == 0:
                    self._keep_running()
                    wait_for(wakeup, LOOK_SECONDS)
            except Stopped:
                pass
            finally:
                self._stop(wakeup)
        return status

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Signals become bytes on the socket that is given, beside being counted.

        None of them raises anything by itself: that could happen anywhere, between taking a lock and noting it as well.
        """
        wakeup, waker = socket.socketpair()
        with wakeup, waker:
            wakeup.setblocking(False)
            waker.setblocking(False)
            signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda number, frame: None)
            for number in STOP_SIGNALS:
                signal.signal(number, self._note_stop)
            # To who sits at a terminal it says that this is closed; to a service, that its files have changed.
            ends = os.isatty(0) and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
            signal.signal(signal.SIGHUP, self._note_stop if ends else self._note_reload)
            try:
                yield wakeup
            finally:
                signal.set_wakeup_fd(-1)
                for number in STOP_SIGNALS:  # it has been obeyed
                    signal.signal(number, signal.SIG_IGN)

    def _note_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload_wanted = True

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1
        if self._stopping_postgres and self._postgres is not None and self._postgres.pid is not None:
            with suppress(ProcessLookupError):  # asked twice: at once, and the next start recovers
                os.kill(self._postgres.pid, signal.SIGQUIT)
        if self._task is not None and self._stop_requests == 1:
            self._task.cancel()
            self._task.get_loop().call_soon_threadsafe(lambda: None)  # wakes the loop

    def _raise_if_stopped(self) -> None:
        if self._stop_requests:
            raise Stopped

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of what takes long; a signal cancels it. Raises Stopped."""
        try:
            return asyncio.run(self._run(work))
        except asyncio.CancelledError:
            raise Stopped from None
        finally:
            work.close()

    async def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        self._task = asyncio.current_task()
        try:
            self._raise_if_stopped()
            return await work
        finally:
            self._task = None

    def _say(self, label: str, **details: object) -> None:
        print_line(say(LABELS[label], self._settings.language, **details))

    # Starting

    def _prepare(self) -> None:
        """Everything that must be there before the first process: what is wrong with it is said, exit status 1."""
        settings = self._settings
        if self._with_demo:
            find_demo_files(settings.demo_dir)
        self._make_directories()
        check_files(settings.tls)
        check_link(settings, self._part)
        sockets = self._open_sockets()
        load_key_ring(settings.secret_key_path)
        self._prepare_database()
        for name, handed in sockets.items():
            head, _, number = name.partition("-")
            arguments = [head, f"--worker={number}"] if number else [head]
            self._children.append(self._make_child(name, arguments, handed))
        if self._part in ("node", "agent"):
            self._children.append(self._make_child("agent", ["agent"], {}))

    def _make_directories(self) -> None:
        settings = self._settings
        if settings.unfinished_restore.exists():
            raise SetupError("restore_unfinished", path=str(settings.data_dir))
        try:
            make_directory(settings.data_dir)  # passable for the database's account; what follows is nobody else's
            for directory in (settings.run_dir, self._log_dir, settings.jobs_dir, settings.resolution_log_dir):
                if not directory.is_dir():
                    make_directory(directory)
                    directory.chmod(0o700)
            self._take_lock(settings.run_dir / f"{self._part}.lock")
        except OSError as error:
            path = error.filename or str(settings.data_dir)
            raise SetupError("data_dir_not_writable", path=path, reason=error.strerror or str(error)) from error

    def _take_lock(self, path: Path) -> None:
        lock = open(path, "a+", encoding="ascii")  # noqa: SIM115 - held as long as this process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            lock.close()
            raise SetupError("data_dir_in_use", path=str(self._settings.data_dir), pid=holder) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _open_sockets(self) -> dict[str, dict[str, socket.socket]]:
        """By process, then by place."""
        sockets: dict[str, dict[str, socket.socket]] = {}
        own_ports = {place.port for place in list_places(self._settings)}
        for place in self._places:
            if place.name == "registry" or place.name.startswith("toplevel"):
                sockets.setdefault(place.name.partition("-")[0], {})[place.name] = open_sockets(place, 1, own_ports)[0]
                continue
            for worker, opened in enumerate(open_sockets(place, self._settings.resolver_workers, own_ports)):
                sockets.setdefault(f"resolver-{worker}", {})[place.name] = opened
        return sockets

    def _prepare_database(self) -> None:
        settings = self._settings
        if self._part != "node":
            self._dsn = get_dsn(settings.database_url, settings.data_dir)
            self._call(check_database(self._dsn))
            if self._part == "registry":
                self._make_first_account()
            return
        if settings.database_url:
            self._dsn = settings.database_url
        else:
            self._say("database_starting")
            self._postgres = EmbeddedPostgres(settings.data_dir, settings.database_user, watch=self._raise_if_stopped)
            self._dsn = self._postgres.start()
        self._call(migrate(self._dsn))
        if self._with_demo:
            self._call(check_demo_allowed(self._dsn))
        self._make_first_account()

    def _make_first_account(self) -> None:
        password = self._call(make_first_account(self._dsn, self._settings))
        if password is not None:
            label = accounts.LABELS["admin_made"]
            print_line(say(label, self._settings.language, user_name=USER_NAME, password=password))

    def _make_child(self, name: str, arguments: list[str], sockets: dict[str, socket.socket]) -> Child:
        environment = {} if self._settings.database_url else {"IDNODE_DATABASE_URL": self._dsn}
        log = ChildLog(self._log_dir / f"{name}.log", print_line, self._settings.log_megabytes * 1_000_000)
        return Child(name, arguments, log, sockets, environment)

    def _start_children(self, wakeup: socket.socket) -> None:
        """Start all, and wait until every service has answered a real question."""
        self._say("children_starting")
        for child in self._children:
            child.start()
        deadline, unready = time.monotonic() + READY_SECONDS, None
        while time.monotonic() < deadline:
            self._keep_running()
            self._refuse_dying()
            unready = next((answer for answer in self._call(ask_all(self._places)) if answer.problem), None)
            if unready is None:
                return
            wait_for(wakeup, 0.05)
        if unready is not None:
            name, url, path = unready.place.name, unready.url, str(self._log_dir)
            raise SetupError(
                "child_not_ready", name=name, url=url, seconds=int(READY_SECONDS), reason=unready.problem, path=path
            )

    def _refuse_dying(self) -> None:
        for child in self._children:
            if child.deaths >= DEATHS_AT_START:
                reason = child.log.read_reason()
                raise SetupError("child_not_started", name=child.name, reason=reason, path=str(child.log.path))

    def _load_demo(self, wakeup: socket.socket) -> int:
        """In a process of its own, on this terminal, while everything else is kept running; its exit status."""
        if not self._with_demo:
            return 0
        self._loader = self._make_child("demo", ["demo"], {})
        self._loader.on_terminal = True
        self._loader.start()
        while self._loader.is_running():
            self._keep_running()
            wait_for(wakeup, LOOK_SECONDS)
        return 0 if self._loader.take_death() == "exit status 0" else 1

    # Running

    def _keep_running(self) -> None:
        self._raise_if_stopped()
        self._reload()
        self._publish()
        self._keep_database_running()
        for child in self._children:
            pid, ended = child.pid, child.take_death()
            if ended is not None:
                self._say("child_ended", name=child.name, pid=pid, how=ended, pause=f"{child.pause_seconds:g}")
            try:
                if child.restart_if_due():
                    self._say("child_restarted", name=child.name, pid=child.pid)
            except OSError as error:  # no memory, no free descriptor or pid
                self._say("child_put_off", name=child.name, reason=error.strerror or error)
                child.put_off()

    def _reload(self) -> None:
        """Certificates, on SIGHUP: who serves loads them anew; nobody is started again."""
        if not self._reload_wanted:
            return
        self._reload_wanted = False
        self._say("certificates_reloading")
        for child in self._children:
            if child.name == "registry" or child.name.startswith("resolver"):
                child.send(signal.SIGHUP)

    def _publish(self) -> None:
        """For monitoring: how often each process has died."""
        if time.monotonic() - self._published >= PUBLISH_SECONDS:
            self._published = time.monotonic()
            deaths = {child.name: child.deaths_seen for child in self._children}
            if self._postgres is not None:
                deaths["postgres"] = self._postgres_deaths
            self._stats.write({"deaths": deaths})

    def _keep_database_running(self) -> None:
        postgres = self._postgres
        if postgres is None or time.monotonic() < self._postgres_due:
            return
        if postgres.is_running():
            if postgres.end_if_stuck():
                self._say("database_stuck")
            if has_socket(postgres):
                return
            self._say("database_socket_gone")  # who cleans temporary directories may take it for rubbish
        else:
            self._postgres_deaths += 1
            self._say("database_ended")
        try:
            if postgres.is_running():
                postgres.stop()
            postgres.start()
        except SetupError as error:
            print_line(format_message(error.code, self._settings.language, **error.details))
            pause = PAUSES_SECONDS[min(self._postgres_failures, len(PAUSES_SECONDS) - 1)]
            self._postgres_failures += 1
            self._postgres_due = time.monotonic() + pause
        else:
            self._postgres_failures = 0
            self._say("database_restarted", pid=postgres.pid)

    # Stopping

    def _stop(self, wakeup: socket.socket) -> None:
        """Who serves first, then the agent, which counts what they left, then the database. A second signal hurries."""
        self._watch.stop()
        self._stats.remove()
        agent = [child for child in self._children if child.name == "agent"]
        serving = [child for child in (*self._children, self._loader) if child is not None and child not in agent]
        if self._postgres is not None or any(child.is_running() for child in (*serving, *agent)):
            self._say("stopping")
        self._stop_children(serving, wakeup)
        self._stop_children(agent, wakeup)
        if self._postgres is not None:
            self._stopping_postgres = True
            self._postgres.stop()
        if self._lock is not None:
            self._lock.close()

    def _runs_agent(self) -> bool:
        return self._stop_requests == 0 and any(child.name == "agent" for child in self._children)

    def _stop_children(self, children: list[Child], wakeup: socket.socket) -> None:
        for child in children:
            child.send(signal.SIGTERM)
        started = time.monotonic()
        while any(child.is_running() for child in children):
            patience = GRACE_SECONDS if self._stop_requests < 2 else HURRIED_SECONDS
            if time.monotonic() - started > patience:
                break
            wait_for(wakeup, 0.2)
        for child in children:
            if child.is_running():
                self._say("child_killed", name=child.name, pid=child.pid)
            child.end()


def has_socket(postgres: EmbeddedPostgres) -> bool:
    """Whether the way to a running server is still there."""
    socket_dir = read_socket_dir(postgres.cluster / "postmaster.pid")
    return socket_dir is not None and (socket_dir / SOCKET_NAME).exists()


def wait_for(wakeup: socket.socket, seconds: float) -> None:
    """Until a signal comes, at most so long."""
    select.select([wakeup], [], [], seconds)
    with suppress(BlockingIOError):
        while wakeup.recv(4096):
            pass


async def check_database(dsn: str) -> None:
    """Raises SetupError unless it can be reached and has the schema we know."""
    connection = await connect(dsn)
    try:
        await check_schema(connection)
    finally:
        await connection.close()
