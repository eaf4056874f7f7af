"""Says whether a web process lives, for container probes: `python -P offload/serving/health.py`.

Exits with 0 if /health/live answers 200 on HOST and PORT within 3 seconds, else with 1. It is run
as a file and imports nothing of the service, which would take a second. Without `-P` the `types.py`
beside it would stand for Python's own.
"""

import os
import socket
import sys

TIMEOUT_SECONDS = 3.0
# They are no addresses to connect to, but mean every address.
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def main() -> str | None:
    """Why the process is not healthy; None if it is."""
    host = os.environ.get("HOST") or "127.0.0.1"
    address = (EVERY_ADDRESS.get(host, host), int(os.environ.get("PORT") or 8000))
    try:
        with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
            connection.sendall(REQUEST)
            answer = connection.recv(64)
    except OSError as error:
        return f"nothing answers at {address[0]}, port {address[1]}: {error}"
    # Such as "HTTP/1.1 200 OK".
    if answer.split(b" ")[1:2] != [b"200"]:
        return f"the process does not answer 200, but {answer!r}"
    return None


if __name__ == "__main__":
    # A sentence goes to stderr, and the exit status is 1.
    sys.exit(main())
