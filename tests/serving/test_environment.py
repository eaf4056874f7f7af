"""The environment of a service: what is refused at its start, and where it listens."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import TIMEOUT_SECONDS, Generated, eventually, free_port, once

pytestmark = once
STRONG = "k3y-" * 4 + "abcdefghijklmnopqrstuvwxyz0123456789"
Load = Callable[..., Any]


@pytest.fixture
def load(service: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`config.env.load` of a generated service, with only these variables."""
    monkeypatch.syspath_prepend(service)
    for name in ("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    from config import env

    def load(**variables: str) -> Any:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return env.load()

    return load


def faults(load: Load, **variables: str) -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(SystemExit) as refused:
        load(**variables)
    return [line for line in str(refused.value).splitlines() if line.startswith("  - ")]


@pytest.mark.parametrize(
    "variables",
    [
        {"DEBUG": "1", "HOST": "0.0.0.0"},
        {"DEBUG": "1", "HOST": "::"},
        {"DEBUG": "1", "ALLOWED_HOSTS": "risk.example.com", "SECRET_KEY": STRONG},
    ],
)
def test_debug_is_refused_where_other_machines_can_reach_it(
    load: Load, variables: dict[str, str]
) -> None:
    assert ["DEBUG is on" in fault for fault in faults(load, **variables)] == [True]


def test_debug_is_refused_at_an_address_of_the_command_line_too(service: Path) -> None:
    command = [sys.executable, "-m", "offload.serving", "--host", "0.0.0.0"]
    env = os.environ | {"DEBUG": "1", "PORT": str(free_port())}
    env.pop("DJANGO_SETTINGS_MODULE")
    refused = subprocess.run(
        command, cwd=service, env=env, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
    )
    assert refused.returncode == 1
    assert "DEBUG is on, and 0.0.0.0 lets other machines in" in refused.stderr


def test_the_token_of_development_is_for_this_machine_alone(generated: Generated) -> None:
    with generated(DEBUG="1") as server:
        for forwarded, status in (("", 200), ("203.0.113.9", 401)):
            headers = {"Authorization": "Bearer dev-token"}
            # As a tunnel or a proxy on this machine says it.
            more = {"X-Forwarded-For": forwarded} if forwarded else {}
            assert server.get("/api/jobs", headers=headers | more).status_code == status


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_STATEMENT_TIMEOUT": "inf"},
        {"WORKER_GRACE": "inf"},
        {"METRICS_TOKEN": "two words"},
        {"METRICS_TOKEN": "tök"},
    ],
)
def test_what_cannot_be_used_is_a_fault(load: Load, variables: dict[str, str]) -> None:
    (name,) = variables
    (fault,) = faults(load, **variables)
    assert fault.startswith(f"  - {name}: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_debug_on_loopback_starts(load: Load, host: str) -> None:
    assert load(DEBUG="1", HOST=host).debug
    assert load(DEBUG="1", HOST=host, ALLOWED_HOSTS="localhost", SECRET_KEY=STRONG).debug


@pytest.mark.parametrize("key", ["x", "a" * 60, "django-insecure-" + STRONG])
def test_a_secret_that_can_be_guessed_is_refused_with_real_hosts(load: Load, key: str) -> None:
    (fault,) = faults(load, ALLOWED_HOSTS="risk.example.com", SECRET_KEY=key)
    assert "SECRET_KEY can be guessed" in fault
    assert key not in fault


def test_a_former_secret_that_can_be_guessed_is_refused_too(load: Load) -> None:
    real = {"ALLOWED_HOSTS": "risk.example.com", "SECRET_KEY": STRONG}
    assert "SECRET_KEY_FALLBACKS" in faults(load, **real, SECRET_KEY_FALLBACKS="old")[0]
    assert load(**real, SECRET_KEY_FALLBACKS=f"{STRONG}1,{STRONG}2").secret_key_fallbacks == [
        f"{STRONG}1",
        f"{STRONG}2",
    ]


def test_every_host_is_refused(load: Load) -> None:
    (fault,) = faults(load, ALLOWED_HOSTS="*", SECRET_KEY=STRONG)
    assert "ALLOWED_HOSTS must not hold *" in fault


def test_all_of_these_faults_are_told_at_once(load: Load) -> None:
    found = faults(load, DEBUG="1", HOST="0.0.0.0", ALLOWED_HOSTS="*", SECRET_KEY="x")
    assert len(found) == 4, found


def make_secret(folder: str) -> str:
    """What a process of its own takes for the key."""
    sys.path.insert(0, folder)
    from config import env

    made: str = env.load().secret_key
    return made


def test_processes_that_start_at_once_agree_on_the_secret(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    (tmp_path / "config").mkdir()
    for name in ("__init__.py", "env.py"):
        (tmp_path / "config" / name).write_text(
            (service / "config" / name).read_text() if name == "env.py" else ""
        )
    (tmp_path / "var").mkdir()
    # A crash has left it empty.
    (tmp_path / "var/secret_key").touch()
    with multiprocessing.get_context("spawn").Pool(6) as processes:
        keys = processes.map(make_secret, [str(tmp_path)] * 6, chunksize=1)
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 50
    assert (tmp_path / "var/secret_key").stat().st_mode & 0o777 == 0o600


def test_the_address_in_dotenv_is_where_the_service_listens(service: Path) -> None:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in ("PORT", "HOST")}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    (service / ".env").write_text(f"HOST=127.0.0.2\nPORT={port}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "offload.serving"],
        cwd=service,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        try:
            address = f"http://127.0.0.2:{port}/health/live"
            headers = {"Host": "localhost"}
            found = httpx.get(address, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        except httpx.TransportError:
            assert process.poll() is None
            return False
        return found.status_code == 200

    try:
        eventually(answers, "an answer at the address of .env")
    finally:
        (service / ".env").unlink()
        process.kill()
        process.wait()
