"""A name server that never answers, for one process and not for the machine."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Loopback has many addresses. This one has a name server of no other program.
ADDRESS = "127.53.53.53"


def cannot_isolate() -> str:
    """Why no process can be given a name server of its own; empty if one can."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return "a mount namespace needs root and unshare"
    made = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return made.stderr.decode().strip() if made.returncode else ""


@contextmanager
def silent_name_server() -> Iterator[None]:
    """It takes every query and answers none."""
    if cannot_isolate():
        yield
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((ADDRESS, 53))
        yield


def before_command(folder: Path) -> list[str]:
    """The beginning of a command line, so that the process asks the silent name server alone.

    Nothing where the machine does not allow it.
    """
    if cannot_isolate():
        return []
    servers = folder / "resolv.conf"
    servers.write_text(f"nameserver {ADDRESS}\noptions timeout:5 attempts:2\n")
    mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mount, str(servers)]
