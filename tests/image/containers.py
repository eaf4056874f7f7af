"""Containers without an engine: the services of compose.yaml, in the image's root file system."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from waiting import wait_until

# A process imports for 2 s; on a busy machine it has a twentieth of a core.
TIMEOUT_SECONDS = 120
USER_ID = 10001
# In the network of the proxy, which alone is believed.
PROXY_ADDRESS = "172.30.250.2"
# As `docker run --read-only --tmpfs /tmp` makes it: mounts and processes of its own, a root that
# nobody writes, and the process itself as number 1. The network is that of the tests, where all
# services are at one address.
CONTAINER = f"""
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount --bind "$VOLUME" "$ROOT/app/var"
touch "$ROOT/etc/hosts"
mount --bind "$HOSTS" "$ROOT/etc/hosts"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec={USER_ID}:{USER_ID} "$ROOT" env -i "$@"
"""
IN_APP = ("sh", "-c", 'cd /app && exec "$@"', "sh")


class Containers:
    """The containers of one service.

    Args:
        root: the image's root file system.
        folder: logs, and the volume `var`.
        services: those of compose.yaml.
        image: the image's own configuration.
    """

    def __init__(
        self, root: Path, folder: Path, services: dict[str, Any], image: dict[str, Any]
    ) -> None:
        self.root = root
        self.folder = folder
        self.services = services
        self.image = image
        self.volume = folder / "var"
        for name in ("", "media", "spool"):
            (self.volume / name).mkdir()
            os.chown(self.volume / name, USER_ID, USER_ID)
        self.names = folder / "hosts"
        self.names.write_text("127.0.0.1 localhost postgres valkey web\n")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> str:
        """What a container has written."""
        return (self.folder / f"{name}.log").read_text()

    def start(self, service: str, *command: str, name: str = "", **more: str) -> None:
        """Start a service as it is written, or another command or name of it."""
        declared = self.services[service]
        chosen = command or declared.get("command") or self.image["Cmd"]
        variables = dict(each.split("=", 1) for each in self.image["Env"])
        variables |= declared["environment"] | more
        arguments = [f"{key}={value}" for key, value in variables.items()]
        namespaces = ["unshare", "--mount", "--pid", "--fork"]
        with (self.folder / f"{name or service}.log").open("ab") as log:
            self.processes[name or service] = subprocess.Popen(
                [*namespaces, "sh", "-c", CONTAINER, "sh", *arguments, *IN_APP, *chosen],
                env=os.environ
                | {"ROOT": str(self.root), "VOLUME": str(self.volume), "HOSTS": str(self.names)},
                stdout=log,
                stderr=log,
            )

    def run(self, service: str, *command: str, name: str = "", **more: str) -> int:
        """Run a container to its end; its exit code."""
        self.start(service, *command, name=name, **more)
        return self.processes.pop(name or service).wait(TIMEOUT_SECONDS)

    def is_healthy(self, service: str) -> bool:
        """Whether the check of its health, as it is written, succeeds inside of its container."""
        check = self.services[service].get("healthcheck") or {
            "test": self.image["Healthcheck"]["Test"]
        }
        kind, *command = check["test"]
        assert kind == "CMD"
        variables = dict(each.split("=", 1) for each in self.image["Env"])
        variables |= self.services[service]["environment"]
        arguments = [f"{key}={value}" for key, value in variables.items()]
        inside = ["nsenter", f"--target={self._first(service)}", "--mount", "--pid", "--root"]
        user = [f"--setuid={USER_ID}", f"--setgid={USER_ID}"]
        ran = subprocess.run(
            [*inside, *user, "env", "-i", *arguments, *IN_APP, *command],
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return ran.returncode == 0

    def stop(self, name: str) -> int:
        """Send the first process of a container a SIGTERM; its exit code."""
        os.kill(self._first(name), signal.SIGTERM)
        return self.processes.pop(name).wait(TIMEOUT_SECONDS)

    def close(self) -> None:
        """End all of them: with its first process a container ends."""
        for name, process in self.processes.items():
            with suppress(ValueError, ProcessLookupError):
                os.kill(self._first(name), signal.SIGKILL)
            process.kill()
            process.wait()

    def _first(self, name: str) -> int:
        pid = self.processes[name].pid
        (first,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(first)


def ask(path: str, **headers: str) -> httpx.Response:
    """Ask the web process as the proxy in front does."""
    sent = {"Host": "desk.example.com", "X-Forwarded-Proto": "https", **headers}
    proxy = httpx.HTTPTransport(local_address=PROXY_ADDRESS)
    with httpx.Client(transport=proxy, timeout=30) as client:
        return client.get(f"http://127.0.0.1:8000{path}", headers=sent)


def until(holds: Callable[[], bool], what: str, logs: Sequence[Path] = ()) -> None:
    """Wait until something holds. An answer that does not come counts as no."""

    def ends_of_logs() -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-2000:]}" for path in logs)

    wait_until(holds, what, TIMEOUT_SECONDS, every=0.5, logs=ends_of_logs)
