"""Hosts as network namespaces: each has its own address, name and clock, and a cable to one switch.

The tests' process itself moves into a network and a mount namespace of its own. There is the
switch, and nothing of the machine's network. All of it vanishes with the process.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

# <linux/sched.h>. Python has `os.unshare` from 3.12 on.
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
SWITCH = "switch"
SUBNET = "10.77.0"
TESTS_ADDRESS = f"{SUBNET}.1"
# Gives a process a host's name, without one more process before it.
NAMED = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')


def cannot_isolate() -> str:
    """Why there can be no hosts on this machine; empty if there can."""
    missing = [name for name in ("ip", "unshare", "setpriv") if not shutil.which(name)]
    if missing:
        return f"missing: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    made = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return made.stderr.decode().strip() if made.returncode else ""


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def enter() -> None:
    """Move this thread, and all that it starts, into a network that has the switch alone.

    Raises:
        OSError: the kernel does not allow it.
    """
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    _run("mount", "--make-rprivate", "/")
    # Where `ip netns` keeps the names of the hosts.
    Path("/run/netns").mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "name", SWITCH, "type", "bridge")
    _run("ip", "address", "add", f"{TESTS_ADDRESS}/24", "dev", SWITCH)
    _run("ip", "link", "set", SWITCH, "up")


class Host:
    """A host.

    Args:
        name: what `hostname` prints there, and the name of its cable at the switch.
        number: the last part of its address.
        clock: variables of the environment that put its clock wrong.
    """

    def __init__(self, name: str, number: int, clock: dict[str, str]) -> None:
        self.name = name
        self.address = f"{SUBNET}.{number}"
        # The same after a kill: a new one is not known to the others for up to 40 s.
        self.hardware = f"02:00:00:00:00:{number:02x}"
        self.clock = clock
        self.processes: list[subprocess.Popen[bytes]] = []
        self.plug_in()

    def plug_in(self) -> None:
        """Make the host's network: it has one cable."""
        _run("ip", "netns", "add", self.name)
        peer = ("peer", "name", "eth0", "address", self.hardware, "netns", self.name)
        _run("ip", "link", "add", "name", self.name, "type", "veth", *peer)
        _run("ip", "link", "set", self.name, "master", SWITCH, "up")
        inside = ("ip", "-netns", self.name)
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "address", "add", f"{self.address}/24", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")

    def start(
        self, command: Sequence[str], log: IO[bytes], environment: dict[str, str], **more: Any
    ) -> "subprocess.Popen[bytes]":
        """Start a process on this host."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *NAMED, self.name, *command],
            stdout=log,
            stderr=log,
            env=environment | self.clock,
            start_new_session=True,
            **more,
        )
        self.processes.append(process)
        return process

    def cut_off(self) -> None:
        """Pull the cable: nothing arrives, and nobody is told."""
        _run("ip", "link", "set", self.name, "down")

    def bring_back(self) -> None:
        """Put the cable in again."""
        _run("ip", "link", "set", self.name, "up")

    def cut_off_from(self, other: "Host") -> None:
        """Send what is for this other host to nobody. All others are reached."""
        lost = ("lladdr", "02:00:00:00:00:ff", "nud", "permanent", "dev", "eth0")
        _run("ip", "-netns", self.name, "neighbour", "replace", other.address, *lost)

    def bring_back_to(self, other: "Host") -> None:
        """Let this other host be reached again."""
        _run("ip", "-netns", self.name, "neighbour", "delete", other.address, "dev", "eth0")

    def kill(self) -> None:
        """The power fails: every process is gone, and no connection is closed."""
        self.cut_off()
        # One of them may have started a moment ago, and not be in the host's network yet.
        for process in self.processes:
            process.kill()
            process.wait(30)
        self.processes.clear()
        while alive := pids_of(self.name):
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def boot(self) -> None:
        """Make a new network of the same name, after a kill."""
        _run("ip", "netns", "delete", self.name)
        # The cable goes with the namespace, a moment later.
        with suppress(subprocess.CalledProcessError):
            subprocess.run(
                ["ip", "link", "delete", self.name], check=True, stderr=subprocess.DEVNULL
            )
        self.plug_in()


def pids_of(name: str) -> list[int]:
    """The processes of a host."""
    network = os.stat(f"/run/netns/{name}").st_ino
    return [pid for pid in _pids() if _network(pid) == network]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _network(pid: int) -> int:
    """The number of a process's network; 0 if the process is gone or has ended."""
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    return 0
