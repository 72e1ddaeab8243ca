"""All settings: environment `IDNODE_<NAME>`, then `<name>` in idnode.toml (or the file IDNODE_CONFIG names).

What may hold a password (`SECRETS`) can be given as the path of a file that holds it: `IDNODE_<NAME>_FILE`, or
`<name>_file`. A list is written with commas. An empty variable counts as not set.
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.errors import SetupError
from schemas.link_place import MIN_SECRET_CHARACTERS, LinkPlace, parse_link_place

if TYPE_CHECKING:
    from node.tls import TlsFiles

PREFIX = "IDNODE_"
CONFIG_VARIABLE = "IDNODE_CONFIG"
DEFAULT_CONFIG = "idnode.toml"
SECRETS = (
    "database_url", "database_read_url", "admin_password", "alarm_webhook_secret", "alarm_smtp_url",
    "registry_link_secret",
)  # fmt: skip

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
Chosen = TypeVar("Chosen", bound="SharedSettings")


def split_list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def check_web_address(value: str) -> str:
    """Without the slash at its end, so that paths can be appended."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected http://host or https://host, with port and path if needed")
    return value.rstrip("/")


def check_database_url(value: str) -> str:
    if urlsplit(value).scheme not in ("postgresql", "postgres"):
        raise ValueError("expected postgresql://user:password@host:5432/database")
    return value


def check_smtp_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("expected smtp://user:password@host:587 or smtps://user:password@host:465")
    return value


def check_hook(value: str) -> str:
    if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
        raise ValueError("expected http://host/path or https://host/path")
    return value


def check_prefix(value: str) -> str:
    if not all(part.isascii() and part.isdecimal() for part in value.split(".")) or "." not in value:
        raise ValueError("expected secondary prefixes such as 88.101")
    return value


def make_absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def parse_link(value: object) -> object:
    """A relative path would be another one for each process."""
    if not isinstance(value, str):
        return value
    return make_absolute(Path(value)) if value.startswith(("/", "~")) else parse_link_place(value)


def find_default_data_dir() -> Path:
    return Path("/var/lib/idnode") if os.geteuid() == 0 else Path("~/.local/share/idnode")


def find_default_language() -> Literal["zh", "en"]:
    """English if the system speaks it, as the first of its variables that is set says; else Chinese."""
    spoken = next(filter(None, (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "en" if spoken.startswith("en") else "zh"


Directory = Annotated[Path, AfterValidator(make_absolute)]
WebAddress = Annotated[str, AfterValidator(check_web_address)]
DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]
SmtpUrl = Annotated[str, AfterValidator(check_smtp_url)]
HookUrl = Annotated[str, AfterValidator(check_hook)]
Port = Annotated[int, Field(ge=1, le=65_535)]
CommaList = (NoDecode, BeforeValidator(split_list))


class SharedSettings(BaseSettings):
    """What every process needs; the agent needs nothing else."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True
    )

    data_dir: Directory = Field(default_factory=find_default_data_dir)
    database_url: DatabaseUrl | None = None  # None: the embedded PostgreSQL of the data directory
    database_read_url: DatabaseUrl | None = None  # a standby for readers; None: the database itself
    prefixes: Annotated[tuple[Annotated[str, AfterValidator(check_prefix)], ...], *CommaList] = ("88.101",)
    public_url: WebAddress | None = None  # what is printed on goods
    public_address: str | None = None  # the host in HS_SITE, routes and reports
    bind: str = "127.0.0.1"
    registry_port: Port = 8000
    registry_url: WebAddress | None = None  # where people reach the console, behind a proxy for instance
    resolver_http_port: Port = 8081
    handle_port: Port = 2641
    toplevel_rehearsal: bool = True  # a top-level node of our own, for rehearsal
    toplevel_port: Port = 9100  # of the rehearsal node, HTTP
    toplevel_handle_port: Port = 9641  # of the rehearsal node, TCP and UDP
    trusted_proxies: Annotated[tuple[Network, ...], *CommaList] = ()
    registry_link: Annotated[Path | LinkPlace | None, NoDecode, BeforeValidator(parse_link)] = None  # None: in run_dir
    registry_link_secret: Annotated[str | None, Field(repr=False, min_length=MIN_SECRET_CHARACTERS)] = None
    registry_link_ca: Directory | None = None  # PEM of who signed the registry's certificate; None: the system's
    log_dir: Directory | None = None
    log_format: Literal["text", "json"] = "text"  # of what processes print
    log_megabytes: Annotated[int, Field(ge=1)] = 10  # of each process's log; one older file is kept beside it
    tls_certificate: Directory | None = None  # PEM, with its chain: both HTTP ports speak TLS
    tls_key: Directory | None = None
    language: Literal["zh", "en"] = Field(default_factory=find_default_language)

    @field_validator("prefixes")
    @classmethod
    def _check_prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("expected at least one prefix, each once")
        return value

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, value: str) -> str:
        return str(ipaddress.ip_address(value.strip("[]")))

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        if len({self.registry_port, self.resolver_http_port, self.handle_port}) < 3:
            raise ValueError("registry_port, resolver_http_port and handle_port must differ")
        ours = {self.registry_port, self.resolver_http_port, self.handle_port}
        if self.toplevel_rehearsal and len({*ours, self.toplevel_port, self.toplevel_handle_port}) < 5:
            raise ValueError("toplevel_port and toplevel_handle_port must differ from each other and from all others")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key must be set together")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose content `load_settings` gives as arguments."""
        return (env_settings, init_settings)

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files; nothing that must survive."""
        return self.data_dir / "run"

    @property
    def link_path(self) -> Path:
        """The Unix socket between registry and resolvers of one machine."""
        return self.registry_link if isinstance(self.registry_link, Path) else self.run_dir / "registry.sock"

    @property
    def stats_dir(self) -> Path:
        """What each process says of itself (schemas.process_stats)."""
        return self.run_dir / "stats"

    @property
    def tls(self) -> "TlsFiles | None":
        from node.tls import TlsFiles  # most processes need no TLS

        if self.tls_certificate is None or self.tls_key is None:
            return None
        return TlsFiles(self.tls_certificate, self.tls_key)

    @property
    def web_scheme(self) -> str:
        """What both HTTP ports speak."""
        return "http" if self.tls_certificate is None else "https"

    @property
    def unfinished_restore(self) -> Path:
        """There as long as a restore has only half filled the data directory."""
        return self.data_dir / "restore-unfinished"

    @property
    def jobs_dir(self) -> Path:
        """Uploaded files and receipts."""
        return self.data_dir / "jobs"

    @property
    def resolution_log_dir(self) -> Path:
        return self.log_dir or self.data_dir / "resolution-log"

    @property
    def read_url(self) -> str | None:
        """Where readers ask."""
        return self.database_read_url or self.database_url

    @property
    def toplevel_dir(self) -> Path:
        """All that the rehearsal top-level node keeps."""
        return self.data_dir / "toplevel"

    @property
    def site_address(self) -> str:
        """The host under which this node says it can be reached."""
        if self.public_address:
            return self.public_address
        bound = ipaddress.ip_address(self.bind)
        return self.bind if not bound.is_unspecified else ("127.0.0.1" if bound.version == 4 else "::1")

    @property
    def scan_url(self) -> str:
        """What stands before the identifier on goods; made up while IDNODE_PUBLIC_URL is not set."""
        return self.public_url or f"{self.web_scheme}://{format_host(self.site_address)}:{self.resolver_http_port}"

    @property
    def console_url(self) -> str:
        """What stands before `/console` in links; made up while IDNODE_REGISTRY_URL is not set."""
        return self.registry_url or f"{self.web_scheme}://{format_host(self.site_address)}:{self.registry_port}"

    @property
    def report_url(self) -> str:
        """The console for pages that anybody scans; empty where only this machine would find it."""
        is_known = self.registry_url or self.public_address or self.public_url is None
        return self.console_url if is_known else ""


class RegistrySettings(SharedSettings):
    """The registry and its jobs."""

    toplevel_approval: Literal["optional", "required"] = "optional"  # whether prefixes wait for the node above
    secret_key_file: Directory | None = None
    metrics_networks: Annotated[tuple[Network, ...], *CommaList] = LOOPBACK  # who may read /metrics without a key
    admin_password: Annotated[str | None, Field(repr=False)] = None  # of the account made at the first start
    operator_file: Directory | None = None  # the operator's own dossier (T1), JSON
    signing_certificate: Directory | None = None  # PEM, signs connection certificates; None: the node's own
    signing_key: Directory | None = None
    pdf_font: Directory | None = None  # a font with Chinese signs and TrueType outlines; None: the machine's
    snms_aliases: bool = True  # older paths of the SNMS interface that clients in the field still use

    @model_validator(mode="after")
    def _check_signing(self) -> Self:
        if (self.signing_certificate is None) != (self.signing_key is None):
            raise ValueError("signing_certificate and signing_key must be set together")
        return self

    @property
    def signing(self) -> tuple[Path, Path] | None:
        """Certificate and key."""
        if self.signing_certificate is None or self.signing_key is None:
            return None
        return self.signing_certificate, self.signing_key

    @property
    def secret_key_path(self) -> Path:
        """The key that encrypts what must be read back; made at the first start."""
        return self.secret_key_file or self.data_dir / "secret.key"


class ReportSettings(RegistrySettings):
    """What is reported to the top-level node, and how."""

    toplevel_url: WebAddress | None = None  # None: the rehearsal node of this machine, if it is on
    toplevel_app: str | None = None  # the app id the top-level node issued; None: node-<first prefix>
    toplevel_algorithm: Literal["SM2-SM3", "RSA-SHA256", "ED25519"] = "ED25519"  # of keys made from now on
    toplevel_sources: Literal["full", "truncated", "none"] = "full"  # addresses of clients in T3 and T8
    monitor_url: WebAddress | None = None  # the resolver the agent asks every minute; None: that of this machine
    enterprise_node_private: bool = False  # whether routes of enterprises' nodes may lie in private networks

    @property
    def toplevel_address(self) -> str | None:
        """Where reports go; None: nowhere."""
        if self.toplevel_url is None and self.toplevel_rehearsal:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind)  # noqa: S104 - compared, not bound
            return f"http://{format_host(host)}:{self.toplevel_port}/tln/v1"
        return self.toplevel_url

    @property
    def monitored_url(self) -> str:
        """The resolver whose answers are timed (M1, M2)."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind)  # noqa: S104 - compared, not bound
        return self.monitor_url or f"{self.web_scheme}://{format_host(host)}:{self.resolver_http_port}"

    @property
    def trusts_toplevel_clock(self) -> bool:
        """Whether the node above has a clock of its own: not our rehearsal node, nor a neighbour in plain HTTP."""
        return self.toplevel_url is not None and self.toplevel_url.startswith("https:")

    @property
    def toplevel_app_id(self) -> str:
        return self.toplevel_app or f"node-{self.prefixes[0]}"


class ResolverSettings(SharedSettings):
    """One resolver worker."""

    cache_megabytes: Annotated[int, Field(ge=1)] = 256  # of each worker
    upstream_url: WebAddress | None = None  # Handle REST API that answers for foreign prefixes
    upstream_allow_private: bool = False
    udp_per_second: Annotated[int, Field(ge=0)] = 5_000  # datagrams a worker answers one source; 0: no limit
    udp_unlimited_networks: Annotated[tuple[Network, ...], *CommaList] = LOOPBACK  # whom that does not bind
    half_read_megabytes: Annotated[int, Field(ge=1)] = 32  # of each worker, for requests that are not complete


class WatchSettings(SharedSettings):
    """What the agent watches, and whom it tells."""

    alarm_webhook_url: HookUrl | None = None
    alarm_webhook_secret: Annotated[str | None, Field(repr=False)] = None  # signs what is sent (HMAC-SHA256)
    alarm_smtp_url: Annotated[SmtpUrl | None, Field(repr=False)] = None
    alarm_mail_from: str | None = None
    alarm_mail_to: Annotated[tuple[str, ...], *CommaList] = ()
    alarm_repeat_hours: Annotated[float, Field(gt=0)] = 6.0  # an alarm that stays is sent again
    alarm_look_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0  # between two looks
    alarm_slow_seconds: Annotated[float, Field(gt=0)] = 0.5  # to answer a cached question, or to ask the database
    alarm_cold_percent: Annotated[float, Field(gt=0, le=100)] = 50.0  # answers that needed the database
    alarm_cold_answers: Annotated[int, Field(ge=1)] = 2_000  # in five minutes; fewer say nothing about a cache
    alarm_disk_percent: Annotated[float, Field(ge=0, lt=100)] = 10.0  # free room
    alarm_clock_seconds: Annotated[float, Field(gt=0)] = 2.0
    alarm_certificate_days: Annotated[int, Field(ge=1)] = 21
    time_server: str | None = None  # host or host:port that speaks NTP, to compare the clock with

    @model_validator(mode="after")
    def _check_ways(self) -> Self:
        if self.alarm_smtp_url and not (self.alarm_mail_from and self.alarm_mail_to):
            raise ValueError("alarm_smtp_url needs alarm_mail_from and alarm_mail_to")
        return self


class NodeSettings(ReportSettings, ResolverSettings, WatchSettings):
    """The supervisor and the command line: every setting there is."""

    database_user: str | None = None  # the account of the embedded PostgreSQL when root starts it
    demo_dir: Directory | None = None  # the demonstration data; None: `data` of the source directory
    resolver_workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default_factory=lambda: min(2, len(os.sched_getaffinity(0)))
    )


class AgentSettings(WatchSettings, ReportSettings):
    """The agent: it counts, watches and reports."""


def format_host(host: str) -> str:
    """As it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def load_settings(kind: type[Chosen]) -> Chosen:
    """Read environment and file; SetupError names the first key that is unknown or wrong."""
    path, content = read_config_file(os.environ.get(CONFIG_VARIABLE))
    refuse_unknown(content, str(path))
    variables = {name.lower().removeprefix("idnode_"): v for name, v in os.environ.items() if is_ours(name)}
    refuse_unknown(variables, "environment")
    arguments = content | read_secret_files(content) | read_secret_files(variables)
    try:
        return kind(**{name: arguments[name] for name in kind.model_fields if name in arguments})
    except ValidationError as error:
        raise explain(error) from None


def is_ours(variable: str) -> bool:
    return variable.startswith(PREFIX) and variable != CONFIG_VARIABLE


def read_config_file(named: str | None) -> tuple[Path, dict[str, Any]]:
    """The file IDNODE_CONFIG names, which must exist, or idnode.toml of the working directory, which may."""
    path = Path(named or DEFAULT_CONFIG).absolute()
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not named:
            return path, {}
        reason = error.strerror or str(error)
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        reason = str(error)
    raise SetupError("settings_file_unreadable", path=str(path), reason=reason)


def refuse_unknown(given: Mapping[str, object], source: str) -> None:
    known = {*NodeSettings.model_fields, *(f"{name}_file" for name in SECRETS)}
    for name in given:
        if name not in known:
            closest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
            if source == "environment":
                name, closest = PREFIX + name.upper(), PREFIX + closest.upper()
            raise SetupError("setting_unknown", name=name, source=source, closest=closest)


def read_secret_files(given: Mapping[str, Any]) -> dict[str, str]:
    """The content of every `<secret>_file` given, without the newline at its end."""
    found = {}
    for name in SECRETS:
        path = given.get(f"{name}_file")
        if not path:
            continue
        if given.get(name):
            raise SetupError("setting_given_twice", name=name)
        try:
            found[name] = Path(path).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise SetupError("setting_invalid", name=f"{name}_file", reason=str(error)) from error
    return found


def explain(error: ValidationError) -> SetupError:
    """The first mistake; never the value, which may be a password."""
    first = error.errors(include_input=False, include_url=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0]) if first["loc"] else reason.split()[0].rstrip(",")  # of several, the first named
    return SetupError("setting_invalid", field=name, name=name, reason=reason)
