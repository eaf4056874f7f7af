"""Which processes a service needs on this machine, by its Procfiles."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from honcho.environ import parse_procfile

if TYPE_CHECKING:
    from config.env import Env

# What `make serve` adds to the web process, and what the environment can name instead.
STAND_INS = ("valkey", "sandbox")
# A process whose command has this word is a worker, also one of a queue of the team's own.
WORKER_MODULE = "offload.jobs"
# Where the workers count, unless the environment names another folder. Its last part is their port:
# a test's service does not count in the folder of `make dev`.
WORKER_COUNTS = "var/metrics"


def choose_processes(mode: str) -> dict[str, str]:
    """The command of each process, by its name.

    `dev` runs all of Procfile.dev. `serve` runs the web process of the Procfile, the stand-ins of
    Procfile.dev, and the workers. Three cases need fewer processes:

    1. MARKETS_URL names the real price sources: no sandbox.
    2. REDIS_URL names a broker: no embedded Valkey.
    3. REDIS_URL names a broker, and the mode is `serve`: the workers run elsewhere, too.

    Args:
        mode: `dev` or `serve`.
    """
    development = dict(parse_procfile(Path("Procfile.dev").read_text()).processes)
    chosen = development
    if mode == "serve":
        production = dict(parse_procfile(Path("Procfile").read_text()).processes)
        chosen = {name: development[name] for name in STAND_INS if name in development}
        chosen |= {
            name: command
            for name, command in production.items()
            if name == "web" or is_worker(command)
        }

    left_out: set[str] = set()
    if "MARKETS_URL" in os.environ:
        left_out.add("sandbox")
    if "REDIS_URL" in os.environ:
        left_out.add("valkey")
        if mode == "serve":
            left_out.update(name for name, command in chosen.items() if is_worker(command))
    return {name: command for name, command in chosen.items() if name not in left_out}


def is_worker(command: str) -> bool:
    """Whether a command of a Procfile starts a worker, of whichever queues."""
    return WORKER_MODULE in command.split()


def readiness_path(processes: dict[str, str]) -> str:
    """The address that answers 200 when these processes are ready, below that of the service.

    With workers: when one was heard from. Workers that run elsewhere are not waited for.
    """
    has_worker = any(map(is_worker, processes.values()))
    return "/health/dependencies" if has_worker else "/health/live"


def worker_metrics_port(env: "Env") -> int:
    """The port where the workers answer Prometheus: the fourth after the web process's own."""
    return env.worker_metrics_port or env.port + 4


def environment_of(command: str, env: "Env") -> dict[str, str]:
    """The environment of one process, by its command in the Procfile."""
    found = dict(os.environ)
    if is_worker(command):
        port = str(worker_metrics_port(env))
        found["WORKER_METRICS_PORT"] = port
        found.setdefault("PROMETHEUS_MULTIPROC_DIR", f"{WORKER_COUNTS}/{port}")
    return found
