"""`python -m offload_dev.launcher`: starts all a service needs on this machine, waits until it is
ready, says where it is.

`dev` runs Procfile.dev: reloading, with DEBUG. `serve` runs the Procfile's web process as
production does, with stand-ins for what the environment does not name: a broker with workers unless
REDIS_URL is set, the sandbox unless MARKETS_URL is.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import redis
from honcho.environ import parse, parse_procfile
from honcho.manager import Manager

from offload_dev.launcher.ports import answers

# Seconds until "not ready" is said; a cold start takes about 5.
PATIENCE = 90.0

# What development adds to the environment where the developer says nothing.
DEVELOPMENT = {"DEBUG": "1", "FLOWER_PASSWORD": "flower", "WORKER_GRACE": "1"}


def main() -> int:
    """Run until Ctrl-C or until a process ends; returns the exit status."""
    mode = sys.argv[1] if len(sys.argv) > 1 else "dev"
    if mode not in ("dev", "serve"):
        sys.exit(f"{mode!r} is neither `dev` nor `serve`")
    if Path(".env").exists():
        for name, value in parse(Path(".env").read_text()).items():
            os.environ.setdefault(name, value)
    processes = _processes(mode)
    if mode == "dev":
        for name, value in DEVELOPMENT.items():
            os.environ.setdefault(name, value)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["PYTHONUNBUFFERED"] = "1"

    # After the environment is complete.
    from config.env import load

    env = load()
    ports = {
        "web": env.port,
        "flower": env.flower_port,
        "sandbox": env.sandbox_port,
        "valkey": env.port + 3,
    }
    for name, port in ports.items():
        if name in processes:
            _check_free(name, port)
    if "valkey" not in processes:
        _check_redis(env.redis_url)
    if not env.database_url.startswith("sqlite"):
        _check_database()
    migrated = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=False
    )
    if migrated.returncode:
        return migrated.returncode

    manager = Manager()
    for name, command in processes.items():
        manager.add_process(name, command)
    # A closed terminal is a Ctrl-C.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    address = f"http://127.0.0.1:{env.port}"
    lines = [f"Ready:  {address}/", f"API:    {address}/api/docs"]
    if env.debug:
        lines.append("Token:  dev-token   (Authorization: Bearer dev-token)")
    else:
        lines.append("Token:  make token NAME=you")
    if "flower" in processes:
        flower = f"http://127.0.0.1:{env.flower_port}/{env.flower_prefix}"
        lines.append(f"Flower: {flower}   (admin / {env.flower_password})")
    probe = address + ("/health/ready" if "cpu" in processes else "/health/live")
    threading.Thread(target=_announce, args=(probe, lines), daemon=True).start()
    manager.loop()
    return 0 if manager.returncode in (130, 143) else manager.returncode or 1


def _processes(mode: str) -> dict[str, str]:
    development = dict(parse_procfile(Path("Procfile.dev").read_text()).processes)
    if mode == "serve":
        production = parse_procfile(Path("Procfile").read_text()).processes
        stand_ins = {
            name: development[name] for name in ("valkey", "sandbox") if name in development
        }
        development = stand_ins | {name: production[name] for name in ("web", "cpu", "default")}
    if "MARKETS_URL" in os.environ:
        development.pop("sandbox", None)
    if "REDIS_URL" in os.environ:
        development.pop("valkey")
        # Whoever names a broker runs its workers there, too.
        if mode == "serve":
            del development["cpu"], development["default"]
    return development


def _check_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(
                f"Port {port} is taken, and {name} needs it. Stop what uses it, or take other ports: "
                f"`make dev PORT=8100` uses 8100 to 8103."
            )


def _check_redis(url: str) -> None:
    try:
        redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2).ping()
    except (redis.RedisError, ValueError) as error:
        sys.exit(
            f"No Redis answers at REDIS_URL ({error}). Start it, or unset REDIS_URL to use the embedded Valkey."
        )


def _check_database() -> None:
    connect = "import django; django.setup(); from django.db import connection; connection.ensure_connection()"
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings", **os.environ}
    command = [sys.executable, "-c", connect]
    asked = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if asked.returncode:
        reason = " ".join(asked.stderr.rpartition("Error: ")[2].split())
        sys.exit(
            f"The database of DATABASE_URL does not answer ({reason}). Start it, or unset DATABASE_URL to use the "
            "SQLite file in var/."
        )


def _announce(probe: str, lines: list[str]) -> None:
    if not answers(probe, PATIENCE):
        lines = [
            f"Not ready after {PATIENCE:.0f} s: {probe} tells what is missing, the lines above tell why."
        ]
    width = max(map(len, lines))
    print("\n".join(["", "─" * width, *lines, "─" * width, ""]), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
