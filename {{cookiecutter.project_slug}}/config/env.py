"""The environment: every variable that this service reads, typed and checked at the start.

All faults are told together.
"""

import difflib
import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]

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
    debug: bool = False
    """For development: error pages, the token `dev-token`, readable logs. `make dev` sets it."""
    allowed_hosts: Annotated[list[str], NoDecode] = LOOPBACK
    """The host names to which this service answers, separated by commas."""
    database_url: str = f"sqlite:///{VAR_DIR / 'db.sqlite3'}"
    """postgres://user:password@host:5432/name, or sqlite:///path."""
    database_max_age: int = 60
    """How long a request thread keeps its database connection, in seconds."""
    database_statement_timeout: float = Field(default=8.0, ge=0)
    """PostgreSQL ends a query after this time, in seconds; 0 means no limit. Below the 10 s that a
    request may take. `manage.py` sets 0: a migration may build an index for hours."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    host: str = "127.0.0.1"
    """The address the web process listens on; 0.0.0.0 in a container."""
    port: Port = 8000
    """The port of the web process. The default of each other port follows it, so that one number
    moves a whole service in development."""
    flower_port: Port = Field(default_factory=lambda data: data["port"] + 1)
    flower_password: str = ""
    """The password of Flower's user `admin`. Flower does not start without one."""
    flower_prefix: str = ""
    """The path of Flower behind a proxy, such as `flower`."""
    sandbox_port: Port = Field(default_factory=lambda data: data["port"] + 2)
{%- if cookiecutter.example == "yes" %}
    markets_url: str = Field(
        default_factory=lambda data: f"http://127.0.0.1:{data['sandbox_port']}"
    )
    """Where the price sources of the example are; the default is the sandbox."""
{%- endif %}
    redis_url: str = Field(default_factory=lambda data: f"redis://127.0.0.1:{data['port'] + 3}/0")
    """Redis or Valkey: redis://[:password@]host:port/db, or rediss:// for TLS. `make dev` starts a
    Valkey if this is not set."""
    worker_nice: int = Field(default=10, ge=0, le=19)
    """How far workers give way to the web process on the same cores; 0 means not at all."""
    worker_grace: float = Field(default=20.0, ge=0)
    """How long a stopped worker waits for its jobs, in seconds. Then it hands them back."""

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [host.strip() for host in value.split(",") if host.strip()]


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
        faults = [] if env.secret_key else _make_secret(env)
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise SystemExit(f"The environment has faults:\n{lines}")
    return env


def near_misses(names: dict[str, str] | os._Environ[str] = os.environ) -> list[str]:
    """A sentence for each environment variable that looks like a misspelt one of `Env`."""
    known = [name.upper() for name in Env.model_fields]
    close = {
        name: difflib.get_close_matches(name, known, n=1, cutoff=0.87)
        for name in names
        if name not in known
    }
    return [
        f"{name} is not read by this service: did you mean {match[0]}?"
        for name, match in close.items()
        if match
    ]


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]).upper()
    if kind == "extra_forbidden":
        guess = difflib.get_close_matches(name, [field.upper() for field in Env.model_fields], n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ": see .env.example"
        return f".env: {name} is not known{hint}"
    return f"{name}: {message[0].lower()}{message[1:]}"


def _make_secret(env: Env) -> list[str]:
    """Make a secret key, the same for web process and workers; a fault unless on loopback."""
    if env.allowed_hosts != LOOPBACK:
        return [
            "SECRET_KEY is missing, and ALLOWED_HOSTS says that this is no laptop: "
            "set it to 50 random characters"
        ]

    path = VAR_DIR / "secret_key"
    path.parent.mkdir(exist_ok=True)
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    env.secret_key = path.read_text()
    return []
