"""The environment: every variable that this service reads, typed and checked at the start.

All faults are told together.
"""

import contextlib
import difflib
import fcntl
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
# Below these a secret key counts as weak.
MIN_SECRET_LENGTH = 50
MIN_SECRET_CHARACTERS = 5
# Shorter passwords and tokens can be guessed (OWASP ASVS 2.1.1).
MIN_PASSWORD_LENGTH = 12
# With these PostgreSQL's client refuses a connection without TLS; its default goes on without.
TLS_MODES = ("require", "verify-ca", "verify-full")
# Jobs go through Celery and events through pub/sub, on the same server.
BROKERS = ("redis", "rediss")
DATABASES = ("postgres", "postgresql", "pgsql", "sqlite")
# Other software's variables that one might expect to work, each with what to do instead.
NOT_READ = {
    "WEB_CONCURRENCY": "a web process is one process: start several of them, each with a PORT",
}

Port = Annotated[int, Field(ge=1, le=65535)]


class Env(BaseSettings):
    """The variables of the environment and of `.env`.

    An unknown name in `.env` is refused. A name in the real environment that looks like a misspelt
    one is warned of.
    """

    model_config = SettingsConfigDict(
        env_file=BASE_DIR / ".env", extra="forbid", hide_input_in_errors=True
    )

    secret_key: str = ""
    """Signs sessions. Needed if ALLOWED_HOSTS is set; on loopback one is made and kept in var/."""
    secret_key_fallbacks: Annotated[list[str], NoDecode] = []
    """Former secret keys, separated by commas. What they signed stays valid until they are removed:
    so a key is changed without logging everybody out."""
    debug: bool = False
    """For development: error pages, the token `dev-token`, readable logs. `make dev` sets it."""
    allowed_hosts: Annotated[list[str], NoDecode] = LOOPBACK
    """The host names to which this service answers, separated by commas."""
    database_url: str = f"sqlite:///{VAR_DIR / 'db.sqlite3'}"
    """postgres://user:password@host:5432/name, or sqlite:///path. In a password @ is written %40,
    and / # % are %2F %23 %25."""
    database_max_age: int = 60
    """How long a request thread keeps its database connection, in seconds."""
    database_statement_timeout: float = Field(default=8.0, ge=0, allow_inf_nan=False)
    """PostgreSQL ends a query after this time, in seconds; 0 means no limit. Below the 10 s that a
    request may take. `manage.py` sets 0: a migration may build an index for hours."""
    database_pooler: bool = False
    """Whether DATABASE_URL leads to a pooler of transactions, such as PgBouncer. It takes no limits
    from its clients: set them on the database's role (docs/reference/limits.md)."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG, INFO, WARNING or ERROR; less important lines are left out."""
    host: str = "127.0.0.1"
    """The address the web process listens on; 0.0.0.0 in a container."""
    forwarded_allow_ips: Annotated[list[str], NoDecode] = ["127.0.0.1", "::1"]
    """The addresses or networks of the proxies in front, separated by commas. X-Forwarded-For and
    X-Forwarded-Proto are believed if they come from one of them, and from nobody else."""
    metrics_token: str = Field(default="", pattern="^[!-~]*$")
    """/metrics asks for it: `Authorization: Bearer ...`. Needed if ALLOWED_HOSTS is set; without it
    /metrics answers everybody."""
    private_network: bool = False
    """Whether nobody else can read the network between this service, Redis and PostgreSQL, as in a
    compose file. Then neither needs TLS."""
    port: Port = 8000
    """The port of the web process. The default of each other port follows it, so that one number
    moves a whole service in development."""
    flower_port: Port = Field(default_factory=lambda data: data["port"] + 1)
    """The port of Flower; by default the one after PORT."""
    # With another character Flower (2.2) answers 500 to everybody.
    flower_password: str = Field(default="", pattern="^[ -~]*$")
    """The password of Flower's user `admin`. Flower does not start without one."""
    flower_prefix: str = ""
    """The path of Flower behind a proxy, such as `flower`."""
    sandbox_port: Port = Field(default_factory=lambda data: data["port"] + 2)
    """The port of the sandbox in development; by default the second one after PORT."""
{%- if cookiecutter.example == "yes" %}
    markets_url: str = Field(
        default_factory=lambda data: f"http://127.0.0.1:{data['sandbox_port']}"
    )
    """Where the price sources of the example are; the default is the sandbox."""
{%- endif %}
    redis_url: str = Field(default_factory=lambda data: f"redis://127.0.0.1:{data['port'] + 3}/0")
    """Redis or Valkey: redis://[:password@]host:port/db, or rediss:// for TLS. `make dev` starts a
    Valkey if this is not set. `?ssl_ca_certs=/path` names the certificates of a CA of your own."""
    worker_nice: int = Field(default=10, ge=0, le=19)
    """How far workers give way to the web process on the same cores; 0 means not at all."""
    worker_grace: float = Field(default=20.0, ge=0, allow_inf_nan=False)
    """How long a stopped worker waits for its jobs, in seconds. Then it hands them back."""
    worker_life_file: str = ""
    """A file that a worker touches every second; `python offload/jobs/worker/health.py` says
    whether it is young. Each worker needs its own."""
    worker_metrics_port: int = Field(default=0, ge=0, le=65535)
    """The port on HOST where the workers of a host answer Prometheus; 0 means nowhere. The workers
    also need PROMETHEUS_MULTIPROC_DIR."""
    prometheus_multiproc_dir: str = ""
    """A folder where the processes of one kind on this host count together. Any of them then
    answers for all of them. Better in memory (/run, /dev/shm), and one for web processes and one
    for workers. It has to be in the real environment: metrics are made before .env is read."""
    spool_folder: str = str(VAR_DIR / "spool")
    """Where a worker's host keeps the results that wait for the database. In a container it is a
    volume that outlives the container."""

    @field_validator("database_url", "redis_url")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            url = urlsplit(value)
            # A name such as `:memory:` stands in the place of a port.
            _ = url.scheme == "sqlite" or url.port
        except ValueError:
            # Without the error's text, which has a part of the password.
            raise ValueError(
                "its address or port cannot be read; a / in a password is written %2F, a # %23, a ["
                " %5B and a ] %5D"
            ) from None
        if not url.scheme:
            raise ValueError("this is no URL; .env.example shows one")
        return value

    @field_validator("database_url")
    @classmethod
    def _known(cls, value: str) -> str:
        if urlsplit(value).scheme not in DATABASES:
            raise ValueError("only postgres:// and sqlite:/// are supported (docs/when-not.md)")
        return value

    @field_validator("redis_url")
    @classmethod
    def _supported(cls, value: str) -> str:
        if urlsplit(value).scheme not in BROKERS:
            raise ValueError(
                "only redis:// and rediss:// are supported; docs/production.md says why neither"
                " Sentinel nor RabbitMQ is"
            )
        return value

    @field_validator("allowed_hosts", "secret_key_fallbacks", "forwarded_allow_ips", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [part.strip() for part in value.split(",") if part.strip()]


def load() -> Env:
    """The environment of this process.

    Raises:
        SystemExit: with one line for each fault.
    """
    try:
        env = Env()
    except ValidationError as invalid:
        # A default that is made from another value fails with that value, and is no fault itself.
        own = (error for error in invalid.errors() if error["type"] != "default_factory_not_called")
        faults = [_fault(error["loc"], error["type"], error["msg"]) for error in own]
    else:
        _make_var_dir()
        faults = [
            *_debug_faults(env),
            *_host_faults(env),
            *_secret_faults(env),
            *_metrics_faults(env),
            *(_production_faults(env) if is_production(env) else ()),
        ]
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise SystemExit(f"The environment has faults:\n{lines}")
    return env


def is_production(env: Env) -> bool:
    """Whether others than this machine use the service: it answers to a name of its own."""
    return env.allowed_hosts != LOOPBACK


def near_misses(names: dict[str, str] | os._Environ[str] = os.environ) -> list[str]:
    """A sentence for each environment variable that does nothing, though somebody may expect it."""
    expected = [
        f"{name} is not read by this service: {instead}."
        for name, instead in NOT_READ.items()
        if name in names
    ]
    known = [name.upper() for name in Env.model_fields]
    close = {
        name: difflib.get_close_matches(name, known, n=1, cutoff=0.87)
        for name in names
        if name not in known
    }
    misspelt = [
        f"{name} is not read by this service: did you mean {match[0]}?"
        for name, match in close.items()
        if match
    ]
    return expected + misspelt


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]).upper()
    if kind == "extra_forbidden":
        guess = difflib.get_close_matches(name, [field.upper() for field in Env.model_fields], n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ": see .env.example"
        return f".env: {name} is not known{hint}"
    # What pydantic writes before a sentence of the validators above.
    message = message.removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}"


def _make_var_dir() -> None:
    """Make the folder of the service's own files. Other users of the host cannot look into it.

    SQLite's database has the keys of sessions. A folder that is there is left as it is.
    """
    # Where it cannot be made, whoever needs a file in it says so.
    with contextlib.suppress(OSError):
        VAR_DIR.mkdir(mode=0o700, exist_ok=True)


def _debug_faults(env: Env) -> list[str]:
    """DEBUG is for loopback alone.

    It opens the API to the token `dev-token`, and shows settings on its error pages.
    """
    if not env.debug:
        return []
    faults = []
    if not _is_loopback(env.host):
        faults.append(
            f"DEBUG is on, and HOST={env.host} lets other machines in: set DEBUG=0 or"
            " HOST=127.0.0.1"
        )
    if not set(env.allowed_hosts) <= set(LOOPBACK):
        faults.append("DEBUG is on, and ALLOWED_HOSTS says that this is no laptop: set DEBUG=0")
    return faults


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _host_faults(env: Env) -> list[str]:
    if "*" in env.allowed_hosts:
        return [
            "ALLOWED_HOSTS must not hold *: a forged Host header would get into links and mails."
            " List the names of this service; .example.com stands for all its subdomains"
        ]
    return []


def _secret_faults(env: Env) -> list[str]:
    """A missing or weak key is a fault unless on loopback, where a missing one is made."""
    if not is_production(env):
        env.secret_key = env.secret_key or _own_secret()
        return []
    if not env.secret_key:
        return [
            "SECRET_KEY is missing, and ALLOWED_HOSTS says that this is no laptop: "
            "set it to 50 random characters"
        ]
    keys = {"SECRET_KEY": [env.secret_key], "SECRET_KEY_FALLBACKS": env.secret_key_fallbacks}
    return [
        f"{name} can be guessed: set it to 50 random characters"
        for name, values in keys.items()
        if any(map(_is_weak, values))
    ]


def _metrics_faults(env: Env) -> list[str]:
    if env.prometheus_multiproc_dir != os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""):
        return ["PROMETHEUS_MULTIPROC_DIR does nothing in .env: set it in the environment"]
    return []


def _production_faults(env: Env) -> list[str]:
    """What is fine on a laptop, and an open door anywhere else."""
    faults = [*_redis_faults(env), *_database_faults(env)]
    if len(env.metrics_token) < MIN_PASSWORD_LENGTH:
        faults.append(
            f"METRICS_TOKEN is missing or shorter than {MIN_PASSWORD_LENGTH} characters: set it to"
            " random ones, or everybody can read /metrics"
        )
    if env.flower_password and len(env.flower_password) < MIN_PASSWORD_LENGTH:
        faults.append(
            f"FLOWER_PASSWORD can be guessed: set it to {MIN_PASSWORD_LENGTH} characters or more"
        )
    return faults


def _redis_faults(env: Env) -> list[str]:
    """Who reaches Redis can stop workers, and read what they are sent."""
    url = urlsplit(env.redis_url)
    if not _is_elsewhere(url.hostname):
        return []
    faults = []
    if not url.password:
        faults.append("REDIS_URL has no password, and Redis is on another host: set one")
    if url.scheme != "rediss" and not env.private_network:
        faults.append(
            "REDIS_URL is without TLS, and Redis is on another host: use rediss://, or set"
            " PRIVATE_NETWORK=1 if nobody else can read the network between them"
        )
    asked = parse_qs(url.query).get("ssl_cert_reqs", ["required"])[-1]
    if url.scheme == "rediss" and asked.lower().removeprefix("cert_") != "required":
        faults.append(
            f"REDIS_URL has ssl_cert_reqs={asked}: another server could pretend to be Redis. Remove"
            " it, and name the certificates of a CA of your own with ?ssl_ca_certs=/path"
        )
    return faults


def _database_faults(env: Env) -> list[str]:
    url = urlsplit(env.database_url)
    if url.scheme == "sqlite" and _is_elsewhere(urlsplit(env.redis_url).hostname):
        return [
            "DATABASE_URL is a SQLite file, and Redis is on another host: a worker there would"
            " have a database of its own. Use PostgreSQL"
        ]
    if url.scheme == "sqlite":
        return []
    mode = parse_qs(url.query).get("sslmode", [""])[-1]
    if not _is_elsewhere(url.hostname) or mode in TLS_MODES or env.private_network:
        return []
    return [
        "DATABASE_URL does not demand TLS, and PostgreSQL is on another host: add ?sslmode=require,"
        " or set PRIVATE_NETWORK=1 if nobody else can read the network between them"
    ]


def _is_elsewhere(host: str | None) -> bool:
    """Whether a server is on another host. Without a host it is behind a socket file."""
    return bool(host) and not _is_loopback(str(host))


def _is_weak(key: str) -> bool:
    """Django's own measure (`check --deploy`, security.W009)."""
    return (
        len(key) < MIN_SECRET_LENGTH
        or len(set(key)) < MIN_SECRET_CHARACTERS
        or key.startswith("django-insecure-")
    )


def _own_secret() -> str:
    """The key of this folder, the same for web process and workers; made where there is none.

    A process that starts at the same time waits for the lock. The file is put into its place whole,
    so nobody reads half a key, also after a crash.
    """
    path = VAR_DIR / "secret_key"
    with (VAR_DIR / "secret_key.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or _is_weak(path.read_text()):
            new = VAR_DIR / "secret_key.new"
            with open(new, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(secrets.token_urlsafe(50))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        return path.read_text()
