"""What has to be there before a service starts: free ports, a broker, a database with its tables.

Each fault ends the launcher with one sentence: what is missing, and what to do.
"""

import fcntl
import os
import socket
import subprocess
import sys
from functools import partial
from urllib.parse import urlsplit

import redis

from offload_dev.launcher.parent_death import end_with_parent

ANSWER_TIMEOUT_SECONDS = 2.0
CONNECT = (
    "import django; django.setup(); "
    "from django.db import connection; connection.ensure_connection()"
)


def check_port(name: str, port: int) -> None:
    """End the launcher if the port of the process `name` is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(
                f"Port {port} is taken, and {name} needs it. Stop the program that uses it, or"
                " choose other ports: `make dev PORT=8100` uses 8100 to 8104."
            )


def check_alone(database_url: str) -> None:
    """End the launcher if another one uses the same SQLite file; else keep others from it.

    Each has a broker of its own, and so a job's messages and events would reach one of them only.
    """
    path = urlsplit(database_url).path.removeprefix("/")
    try:
        # It is closed when this process ends, and others may use the database then.
        lock = os.open(f"{path}.launcher", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        # The migration says what is wrong with the folder.
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(
            f"Another `make dev` or `make serve` runs with the database {path}. Stop it, or give"
            " this one a database of its own: `make dev PORT=8100"
            " DATABASE_URL=sqlite:///var/second.sqlite3`."
        )


def check_redis(url: str) -> None:
    """End the launcher if no Redis or Valkey answers at this address."""
    try:
        redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
            socket_connect_timeout=ANSWER_TIMEOUT_SECONDS,
        ).ping()
    except (redis.RedisError, ValueError) as error:
        sys.exit(
            f"No Redis answers at REDIS_URL ({error}). Start it, or unset REDIS_URL: then the"
            " embedded Valkey is used."
        )


def check_database() -> None:
    """End the launcher if the database of DATABASE_URL does not answer."""
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings", **os.environ}
    tried = subprocess.run(
        [sys.executable, "-c", CONNECT],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if tried.returncode:
        reason = " ".join(tried.stderr.rpartition("Error: ")[2].split())
        sys.exit(
            f"The database of DATABASE_URL does not answer ({reason}). Start it, or correct"
            " the URL (.env.example shows one), or unset it: then the SQLite file in var/ is used."
        )


def migrate() -> None:
    """Create or change the tables; end the launcher if that fails, with Django's own message."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    # In a session of its own it gets no Ctrl-C, for which Django would print a traceback.
    end = partial(end_with_parent, os.getpid())
    migrated = subprocess.run(command, start_new_session=True, preexec_fn=end, check=False)
    if migrated.returncode:
        sys.exit(migrated.returncode)
