"""Starts a service, waits until it is ready, and says where it is.

`dev` runs Procfile.dev, with DEBUG and reloading. `serve` runs the web process of the Procfile as
production does, with stand-ins for what the environment does not name (see `processes.py`).
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from offload_dev.launcher import env_file
from offload_dev.launcher.manager import ServiceManager
from offload_dev.launcher.output import NonBlockingOutput, ProcessPrinter, print_box
from offload_dev.launcher.ports import wait_for_answer
from offload_dev.launcher.preflight import (
    check_alone,
    check_database,
    check_port,
    check_redis,
    migrate,
)
from offload_dev.launcher.processes import (
    choose_processes,
    environment_of,
    is_worker,
    readiness_path,
    worker_metrics_port,
)

if TYPE_CHECKING:
    from config.env import Env

MODES = ("dev", "serve")
# After this time the launcher says that the service is not ready. A cold start takes about 5 s.
READY_TIMEOUT_SECONDS = 90.0
# What `dev` adds to the environment, unless the developer has set it.
DEVELOPMENT_ENVIRONMENT = {"DEBUG": "1", "FLOWER_PASSWORD": "flower", "WORKER_GRACE": "1"}
# The launcher was stopped by Ctrl-C or by SIGTERM, as it should be.
STOPPED_STATUSES = (130, 143)


def main() -> int:
    """Run until Ctrl-C, or until one process ends; returns the exit status."""
    mode = sys.argv[1] if len(sys.argv) > 1 else "dev"
    if mode not in MODES:
        sys.exit(f"There is no mode {mode!r}. Write `dev` or `serve`.")

    env_file.read()
    processes = choose_processes(mode)
    _complete_environment(mode)

    # This reads the environment, so it comes after everything that adds to it.
    from config.env import load

    env = load()
    _prepare(env, processes)
    output = NonBlockingOutput(sys.stdout)
    _announce_when_ready(env, processes, output)
    _announce_changes(output)
    return _run(processes, env, output)


def _complete_environment(mode: str) -> None:
    if mode == "dev":
        for name, value in DEVELOPMENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    # The Procfiles say `python` and `celery`: those of the environment that runs this.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Each line is printed at once.
    os.environ["PYTHONUNBUFFERED"] = "1"


def _prepare(env: "Env", processes: dict[str, str]) -> None:
    """Check ports, broker and database, and create the tables; end the launcher at a fault."""
    if "valkey" in processes and env.database_url.startswith("sqlite"):
        check_alone(env.database_url)
    ports = {
        "web": env.port,
        "flower": env.flower_port,
        "sandbox": env.sandbox_port,
        "valkey": env.port + 3,
    }
    for name, port in ports.items():
        if name in processes:
            check_port(name, port)
    if workers := [name for name, command in processes.items() if is_worker(command)]:
        check_port(workers[0], worker_metrics_port(env))
    if "valkey" not in processes:
        check_redis(env.redis_url)
    if not env.database_url.startswith("sqlite"):
        check_database()
    migrate()


def _announce_when_ready(env: "Env", processes: dict[str, str], output: NonBlockingOutput) -> None:
    """Print where the service is as soon as it is ready, from a thread of its own."""
    address = f"http://127.0.0.1:{env.port}"
    box = [("Ready", f"{address}/"), ("API", f"{address}/api/docs")]
    if env.debug:
        box.append(("Token", "dev-token   (Authorization: Bearer dev-token)"))
    else:
        box.append(("Token", "make token NAME=you"))
    if "flower" in processes:
        flower = f"http://127.0.0.1:{env.flower_port}/{env.flower_prefix}"
        box.append(("Flower", f"{flower}   (admin / {env.flower_password})"))
    if any(map(is_worker, processes.values())):
        port = worker_metrics_port(env)
        box.append(("Metrics", f"{address}/metrics, and of the workers :{port}/metrics"))
    lines = [f"{label + ':':<9}{text}" for label, text in box]
    probe = address + readiness_path(processes)

    def announce() -> None:
        if wait_for_answer(probe, READY_TIMEOUT_SECONDS):
            print_box(lines, output)
        else:
            print_box(
                [
                    f"The service is not ready after {READY_TIMEOUT_SECONDS:.0f} s.",
                    f"Open {probe}: it names what is missing. The lines above say why.",
                ],
                output,
            )

    threading.Thread(target=announce, daemon=True).start()


def _announce_changes(output: NonBlockingOutput) -> None:
    """Say that a change of `.env` needs another start, from a thread of its own."""

    def announce() -> None:
        env_file.watch(lambda: print_box(list(env_file.NOTICE), output))

    threading.Thread(target=announce, daemon=True).start()


def _run(processes: dict[str, str], env: "Env", output: NonBlockingOutput) -> int:
    """Run all processes until the first one ends or the launcher is stopped."""
    printer = ProcessPrinter(output)
    manager = ServiceManager(printer)
    for name, command in processes.items():
        manager.add_process(name, command, env=environment_of(command, env))
    # A closed terminal stops the service as Ctrl-C does.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))

    manager.loop()
    printer.close()
    if manager.returncode in STOPPED_STATUSES:
        return 0
    return manager.returncode or 1
