"""What an unlucky life brings. Everything is drawn by seeded dice before the life begins."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from postgresql_server import free_port

from jobs.conftest import HERE, Lab

# Seconds of the lease in a life: short, so that many end.
LEASE = 3.0
# Seconds that a frozen process stands still: below and above its lease.
FREEZE_SECONDS = (0.5 * LEASE, 2.5 * LEASE)
# Seconds that a connection is cut or silent.
CUT_SECONDS = (0.5, 7.0)
# Seconds between two faults.
FAULT_INTERVAL_SECONDS = (0.3, 3.0)
# Seconds that a job type is paused, and those that claims which began before have.
PAUSE_SECONDS = (1.0, 6.0)
LAST_CLAIMS_SECONDS = 0.5
# Seconds of the beginning without faults.
QUIET_SECONDS = 2.0

# How likely each fault is.
WEIGHTS = {
    "kill_child": 4,
    "kill_worker": 2,
    "kill_main_process": 1,
    "kill_web": 1,
    "deploy_worker": 3,
    "deploy_web": 1,
    "freeze_worker": 2,
    "freeze_main_process": 1,
    "freeze_child": 2,
    "cut_redis": 1,
    "silence_redis": 1,
    "empty_redis": 1,
    "restart_redis": 1,
    "pause_limited": 3,
}
# PostgreSQL alone: SQLite has no connection that could be cut.
DATABASE_WEIGHTS = {"cut_database": 2, "silence_database": 1, "restart_database": 1}


@dataclass(frozen=True)
class Fault:
    """One fault of a life.

    Args:
        at: seconds after the beginning.
        name: a method of `Faults`.
        pick: says which process it hits, and is taken modulo their number.
        seconds: how long it lasts, as a share from 0 to 1.
    """

    at: float
    name: str
    pick: int
    seconds: float


def draw(dice: random.Random, seconds: float, postgresql: bool) -> list[Fault]:
    """The faults of a life of so many seconds."""
    weights = WEIGHTS | (DATABASE_WEIGHTS if postgresql else {})
    faults, at = [], QUIET_SECONDS
    while at < seconds:
        name = dice.choices(list(weights), list(weights.values()))[0]
        faults.append(Fault(at, name, dice.randrange(1000), dice.random()))
        at += dice.uniform(*FAULT_INTERVAL_SECONDS)
    return faults


class Faults:
    """The processes of a life, and what happens to them.

    Args:
        lab: has Redis running.
        workers: how many.
        webs: how many.
    """

    def __init__(self, lab: Lab, workers: int, webs: int) -> None:
        self._lab = lab
        self.happened: list[str] = []
        # What a fault found wrong.
        self.wrong: list[str] = []
        self._heals: list[tuple[float, Callable[[], None]]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        self._begun = time.monotonic()
        self._database = os.environ["DATABASE_URL"]
        self._postgresql = self._database.startswith("postgres")

        self.workers = [f"worker-{number}" for number in range(workers)]
        self.ports = {f"web-{number}": free_port() for number in range(webs)}
        # Two proxies before each server, so that a fault hits some processes and not the others.
        self._redis_ports = [free_port(), free_port()]
        self._database_ports = [free_port(), free_port()]
        for number in range(2):
            self._start_proxy(f"redis-{number}")
            if self._postgresql:
                self._start_proxy(f"database-{number}")
        for name in [*self.workers, *self.ports]:
            self._start(name)

    def happen(self, fault: Fault) -> None:
        """Let one happen now. What it needs to heal happens in `heal`."""
        text = getattr(self, fault.name)(fault.pick, fault.seconds)
        self._note(f"{fault.name} {text}")

    def heal(self, everything: bool = False) -> None:
        """Heal what is over; or everything, at the end."""
        for when, heal in sorted(self._heals, key=lambda each: each[0]):
            if everything or time.monotonic() >= when:
                self._heals.remove((when, heal))
                heal()
        for name in [*self.workers, *self.ports]:
            process = self._lab.processes[name]
            if everything and process.poll() is not None:
                self._start(name)

    def end(self) -> None:
        """Kill every process that this life has started, orphans included."""
        for process in self._started:
            for number in (signal.SIGCONT, signal.SIGKILL):
                self._signal_group(process, number)
            process.wait(60)

    # --- faults: each returns what it hit ---

    def kill_child(self, pick: int, seconds: float) -> str:
        name = self._worker(pick)
        return f"{name} {self._signal_child(name, pick, signal.SIGKILL)}"

    def kill_worker(self, pick: int, seconds: float) -> str:
        name = self._worker(pick)
        self._signal_group(self._lab.processes[name], signal.SIGKILL)
        self._start(name)
        return name

    def kill_main_process(self, pick: int, seconds: float) -> str:
        """Its children go on until they have no more to do."""
        name = self._worker(pick)
        self._lab.processes[name].kill()
        self._start(name)
        return name

    def kill_web(self, pick: int, seconds: float) -> str:
        name = self._web(pick)
        self._signal_group(self._lab.processes[name], signal.SIGKILL)
        self._start(name)
        return name

    def deploy_worker(self, pick: int, seconds: float) -> str:
        """The new one starts while the old one ends."""
        name = self._worker(pick)
        self._lab.processes[name].terminate()
        self._start(name)
        return name

    def deploy_web(self, pick: int, seconds: float) -> str:
        name = self._web(pick)
        old = self._lab.processes[name]
        old.terminate()
        self._later(0.0, lambda: self._restart_after(old, name))
        return name

    def freeze_worker(self, pick: int, seconds: float) -> str:
        process = self._lab.processes[self._worker(pick)]
        self._signal_group(process, signal.SIGSTOP)
        self._later(
            _between(FREEZE_SECONDS, seconds), lambda: self._signal_group(process, signal.SIGCONT)
        )
        return f"{self._worker(pick)} for {_between(FREEZE_SECONDS, seconds):.1f} s"

    def freeze_main_process(self, pick: int, seconds: float) -> str:
        process = self._lab.processes[self._worker(pick)]
        process.send_signal(signal.SIGSTOP)
        self._later(_between(FREEZE_SECONDS, seconds), lambda: process.send_signal(signal.SIGCONT))
        return f"{self._worker(pick)} for {_between(FREEZE_SECONDS, seconds):.1f} s"

    def freeze_child(self, pick: int, seconds: float) -> str:
        name = self._worker(pick)
        process = self._lab.processes[name]
        child = self._signal_child(name, pick, signal.SIGSTOP)
        self._later(
            _between(FREEZE_SECONDS, seconds), lambda: self._signal_group(process, signal.SIGCONT)
        )
        return f"{name} {child} for {_between(FREEZE_SECONDS, seconds):.1f} s"

    def cut_redis(self, pick: int, seconds: float) -> str:
        return self._cut(f"redis-{pick % 2}", seconds)

    def silence_redis(self, pick: int, seconds: float) -> str:
        return self._silence(f"redis-{pick % 2}", seconds)

    def cut_database(self, pick: int, seconds: float) -> str:
        return self._cut(f"database-{pick % 2}", seconds)

    def silence_database(self, pick: int, seconds: float) -> str:
        return self._silence(f"database-{pick % 2}", seconds)

    def empty_redis(self, pick: int, seconds: float) -> str:
        with self._lab.redis_client() as client:
            client.flushall()
        return ""

    def restart_redis(self, pick: int, seconds: float) -> str:
        self._lab.kill("redis")
        self._started.append(self._lab.redis())
        return ""

    def restart_database(self, pick: int, seconds: float) -> str:
        """As after a crash of its host: `pg_ctl -m immediate`."""
        command = os.environ["LAB_DATABASE_RESTART"].split()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
        # This process's own connection was closed with the others.
        connection.close()
        return ""

    # --- what operators do ---

    def pause_limited(self, pick: int, seconds: float) -> str:
        """Nothing of a paused job type begins: no row of it counts one more attempt."""
        from offload.jobs.control import pause, resume
        from offload.jobs.models import Pause

        if self._asked(Pause.objects.exists):
            return "it is paused already"
        self._asked(lambda: pause(kind="life.limited", by="the life"))
        time.sleep(LAST_CLAIMS_SECONDS)
        before = self._asked(_attempts)

        def resume_and_check() -> None:
            for job_id, attempts in self._asked(_attempts).items():
                if attempts > before.get(job_id, 0):
                    self.wrong.append(f"job {job_id} was begun while its type was paused")
            self._asked(lambda: resume(kind="life.limited", by="the life"))

        lasts = _between(PAUSE_SECONDS, seconds)
        self._later(lasts, resume_and_check)
        return f"for {lasts:.1f} s"

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """Ask the database, also just after its restart."""

        def answer() -> Any:
            try:
                return (ask(),)
            except (OperationalError, InterfaceError):
                connection.close()
                return None

        return self._lab.until(answer, "the database to answer")[0]

    # --- processes ---

    def _start(self, name: str) -> None:
        half = int(name[-1]) % 2
        environment = {
            "LOG_LEVEL": "INFO",
            "REDIS_URL": f"redis://127.0.0.1:{self._redis_ports[half]}/0",
        }
        if self._postgresql:
            server = self._database.rpartition(":")[0]
            environment["DATABASE_URL"] = f"{server}:{self._database_ports[half]}/postgres"
        if name in self.ports:
            environment["PORT"] = str(self.ports[name])
            command = ("-m", "offload.serving", "--drain", "0")
        else:
            command = ("-m", "offload.jobs", "-Q", "cpu,default", "-c", "2", "-n", f"{name}@lab")
        self._started.append(self._lab.start(name, sys.executable, *command, **environment))

    def _start_proxy(self, name: str) -> None:
        number = int(name[-1])
        if name.startswith("redis"):
            ports = (self._redis_ports[number], self._lab.redis_port)
        else:
            ports = (
                self._database_ports[number],
                int(self._database.rpartition(":")[2].split("/")[0]),
            )
        command = (sys.executable, str(HERE / "proxy.py"), *map(str, ports))
        self._started.append(self._lab.start(f"proxy-{name}", *command))

    def _restart_after(self, old: "subprocess.Popen[bytes]", name: str) -> None:
        """Start a web process again once the old one has left its port."""
        if old.poll() is None:
            self._later(0.2, lambda: self._restart_after(old, name))
        elif self._lab.processes[name] is old:
            self._start(name)

    def _cut(self, name: str, seconds: float) -> str:
        """Break all connections, and refuse new ones for a while."""
        process = self._lab.processes[f"proxy-{name}"]
        self._signal_group(process, signal.SIGKILL)
        process.wait(60)
        lasts = _between(CUT_SECONDS, seconds)

        def repair() -> None:
            if self._lab.processes[f"proxy-{name}"] is process:
                self._start_proxy(name)

        self._later(lasts, repair)
        return f"{name} for {lasts:.1f} s"

    def _silence(self, name: str, seconds: float) -> str:
        """Hold back what is sent in both directions."""
        process = self._lab.processes[f"proxy-{name}"]
        self._signal_group(process, signal.SIGSTOP)
        lasts = _between(CUT_SECONDS, seconds)
        self._later(lasts, lambda: self._signal_group(process, signal.SIGCONT))
        return f"{name} for {lasts:.1f} s"

    def _worker(self, pick: int) -> str:
        return self.workers[pick % len(self.workers)]

    def _web(self, pick: int) -> str:
        return list(self.ports)[pick % len(self.ports)]

    def _signal_child(self, name: str, pick: int, number: int) -> int:
        """Signal one of a worker's processes. Its number; 0 where there is none yet."""
        try:
            children = self._lab.children(name)
            child = children[pick % len(children)]
            os.kill(child, number)
        except (OSError, ZeroDivisionError):
            return 0
        return child

    def _signal_group(self, process: "subprocess.Popen[bytes]", number: int) -> None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return

    def _later(self, seconds: float, heal: Callable[[], None]) -> None:
        self._heals.append((time.monotonic() + seconds, heal))

    def _note(self, text: str) -> None:
        self.happened.append(f"{time.monotonic() - self._begun:6.1f} s  {time.time():.3f}  {text}")


def _attempts() -> dict[Any, int]:
    """The attempts of each limited job."""
    from offload.jobs.models import Job

    return dict(Job.objects.filter(kind="life.limited").values_list("pk", "attempts"))


def _between(bounds: tuple[float, float], share: float) -> Any:
    low, high = bounds
    return low + (high - low) * share
