"""Says whether a web process lives, for container probes: `python -P offload/serving/health.py`.

Exits with 0 if /health/live answers 200 on HOST and PORT within 3 seconds, else with 1. It is run
as a file and imports nothing of the service, which would take a second. Without `-P` the `types.py`
beside it would stand for Python's own.

With `--end` the third check in a row without an answer ends the process. That is for platforms that
restart what has ended, and leave what is unhealthy: docker and podman.
"""

import os
import signal
import socket
import sys
import time
from contextlib import suppress

TIMEOUT_SECONDS = 3.0
# They are no addresses to connect to, but mean every address.
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# So many checks without an answer, one after the other, end the process: 30 s of compose.yaml.
MAX_UNANSWERED = 3
# It has a byte for each of them.
UNANSWERED_FILE = os.environ.get("WEB_UNANSWERED_FILE") or "/tmp/web-unanswered"  # noqa: S108
# The state of such a socket in the tables of Linux.
LISTENS = "0A"
# The process writes what blocks it (`offload/guard/runtime/stack_dump.py`).
DUMP_SECONDS = 0.5


def main() -> str | None:
    """Why the process is not healthy; None if it is."""
    host = os.environ.get("HOST") or "127.0.0.1"
    address = (EVERY_ADDRESS.get(host, host), int(os.environ.get("PORT") or 8000))
    is_blocked = False
    try:
        with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
            connection.sendall(REQUEST)
            answer = connection.recv(64)
    except OSError as error:
        # A process that starts or stops refuses connections.
        is_blocked = isinstance(error, TimeoutError)
        return f"nothing answers at {address[0]}, port {address[1]}: {error}"
    finally:
        if "--end" in sys.argv[1:]:
            _end_if_blocked(is_blocked, address[1])
    # Such as "HTTP/1.1 200 OK".
    if answer.split(b" ")[1:2] != [b"200"]:
        return f"the process does not answer 200, but {answer!r}"
    return None


def _end_if_blocked(is_blocked: bool, port: int) -> None:
    """End the process on this port if it has answered none of the last checks."""
    if not is_blocked:
        with suppress(FileNotFoundError):
            os.unlink(UNANSWERED_FILE)  # noqa: PTH108
        return

    with open(UNANSWERED_FILE, "ab") as checks:  # noqa: PTH123
        checks.write(b".")
        unanswered = checks.tell()
    if unanswered < MAX_UNANSWERED:
        return
    for number in _listeners(port):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGUSR1)
            time.sleep(DUMP_SECONDS)
            os.kill(number, signal.SIGKILL)
    os.unlink(UNANSWERED_FILE)  # noqa: PTH108


def _listeners(port: int) -> list[int]:
    """The numbers of the processes that listen on this port."""
    links = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError), open(table) as lines:  # noqa: PTH123
            for line in lines:
                # The local address, the state and the inode (proc_net_tcp of the kernel).
                fields = line.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    links.add(f"socket:[{fields[9]}]")
    return [
        int(name)
        for name in os.listdir("/proc")  # noqa: PTH208
        if name.isdecimal() and links.intersection(_links(f"/proc/{name}/fd"))
    ]


def _links(folder: str) -> list[str]:
    # A process may have ended meanwhile, or be another user's.
    with suppress(OSError):
        names = os.listdir(folder)  # noqa: PTH208
        return [os.readlink(f"{folder}/{name}") for name in names]  # noqa: PTH115
    return []


if __name__ == "__main__":
    # A sentence goes to stderr, and the exit status is 1.
    sys.exit(main())
