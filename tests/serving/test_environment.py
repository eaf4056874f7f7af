"""The environment of a service: what is refused at its start, and where it listens."""

import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import TIMEOUT_SECONDS, Generated, Server, eventually, once
from postgresql_server import free_port

pytestmark = once
STRONG = "k3y-" * 4 + "abcdefghijklmnopqrstuvwxyz0123456789"
# All that a service with a name of its own needs.
PRODUCTION = {
    "ALLOWED_HOSTS": "risk.example.com",
    "SECRET_KEY": STRONG,
    "METRICS_TOKEN": "of-the-scraper",
}
# Redis and PostgreSQL on other hosts.
FAR = {
    "REDIS_URL": "rediss://:pw@redis.example.com:6379/0",
    "DATABASE_URL": "postgres://u:p@db.example.com:5432/name?sslmode=require",
}
Load = Callable[..., Any]


@pytest.fixture
def load(service: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`config.env.load` of a generated service, with only these variables."""
    monkeypatch.syspath_prepend(service)
    for name in ("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "HOST", "PORT", *FAR, "METRICS_TOKEN"):
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
        {"DEBUG": "1", **PRODUCTION},
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


def test_websockets_without_their_library_are_refused(service: Path, tmp_path: Path) -> None:
    """Else each handshake would be answered as a GET, and no log would say so."""
    (tmp_path / "with_sockets.py").write_text(
        "import os\n"
        "import django\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings')\n"
        "django.setup()\n"
        "from offload.serving import Application\n"
        "async def sockets(scope, receive, send): ...\n"
        "application = Application(websocket=sockets)\n"
    )
    # As if the library were not there.
    code = (
        "import importlib.util, runpy, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: "
        "None if name == 'websockets' else found(name, *more)\n"
        "sys.argv[1:] = ['with_sockets:application']\n"
        "runpy.run_module('offload.serving', run_name='__main__')\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(service)])
    env = os.environ | {"DEBUG": "1", "PORT": str(free_port()), "PYTHONPATH": paths}
    env.pop("DJANGO_SETTINGS_MODULE")
    refused = subprocess.run(
        [sys.executable, "-c", code],
        cwd=service,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert refused.returncode == 1, refused.stderr
    assert "`websockets` is not installed" in refused.stderr


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
        # Nobody could log in to Flower.
        {"FLOWER_PASSWORD": "a long pässword"},
    ],
)
def test_what_cannot_be_used_is_a_fault(load: Load, variables: dict[str, str]) -> None:
    (name,) = variables
    (fault,) = faults(load, **variables)
    assert fault.startswith(f"  - {name}: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_debug_on_loopback_starts(load: Load, host: str) -> None:
    assert load(DEBUG="1", HOST=host).debug
    assert load(DEBUG="1", HOST=host, **PRODUCTION | {"ALLOWED_HOSTS": "localhost"}).debug


@pytest.mark.parametrize("key", ["x", "a" * 60, "django-insecure-" + STRONG])
def test_a_secret_that_can_be_guessed_is_refused_with_real_hosts(load: Load, key: str) -> None:
    (fault,) = faults(load, **PRODUCTION | {"SECRET_KEY": key})
    assert "SECRET_KEY can be guessed" in fault
    assert key not in fault


def test_a_former_secret_that_can_be_guessed_is_refused_too(load: Load) -> None:
    assert "SECRET_KEY_FALLBACKS" in faults(load, **PRODUCTION, SECRET_KEY_FALLBACKS="old")[0]
    assert load(**PRODUCTION, SECRET_KEY_FALLBACKS=f"{STRONG}1,{STRONG}2").secret_key_fallbacks == [
        f"{STRONG}1",
        f"{STRONG}2",
    ]


def test_every_host_is_refused(load: Load) -> None:
    (fault,) = faults(load, **PRODUCTION | {"ALLOWED_HOSTS": "*"})
    assert "ALLOWED_HOSTS must not hold *" in fault


def test_all_of_these_faults_are_told_at_once(load: Load) -> None:
    found = faults(load, DEBUG="1", HOST="0.0.0.0", ALLOWED_HOSTS="*", SECRET_KEY="x")
    assert len(found) == 5, found


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"METRICS_TOKEN": ""}, "METRICS_TOKEN is missing"),
        ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN is missing or shorter than 12"),
        ({"FLOWER_PASSWORD": "flower"}, "FLOWER_PASSWORD can be guessed"),
        (FAR | {"REDIS_URL": "rediss://redis.example.com/0"}, "REDIS_URL has no password"),
        (FAR | {"REDIS_URL": "redis://:pw@redis.example.com/0"}, "REDIS_URL is without TLS"),
        (FAR | {"DATABASE_URL": "postgres://u:p@db.example.com/d"}, "does not demand TLS"),
        (
            FAR | {"DATABASE_URL": "postgresql://u:p@db.example.com/d?sslmode=prefer"},
            "does not demand TLS",
        ),
        (FAR | {"DATABASE_URL": "pgsql://u:p@db.example.com/d"}, "does not demand TLS"),
        (FAR | {"DATABASE_URL": "sqlite:////srv/db.sqlite3"}, "is a SQLite file"),
    ],
)
def test_what_is_fine_on_a_laptop_is_refused_with_real_hosts(
    load: Load, variables: dict[str, str], said: str
) -> None:
    (fault,) = faults(load, **PRODUCTION | variables)
    assert said in fault
    assert not any(value and value in fault for name, value in variables.items() if "URL" in name)


def test_what_is_refused_with_real_hosts_is_fine_on_a_laptop(load: Load) -> None:
    far = {"REDIS_URL": "redis://redis/0", "DATABASE_URL": "postgres://u@db/d"}
    assert load(FLOWER_PASSWORD="flower", **far).metrics_token == ""


@pytest.mark.parametrize(
    "variables",
    [
        {},
        FAR,
        {
            "PRIVATE_NETWORK": "1",
            "REDIS_URL": "redis://:pw@valkey/0",
            "DATABASE_URL": "postgres://u:p@db/d",
        },
        {"DATABASE_URL": "postgres:///name"},
        {"FLOWER_PASSWORD": "twelve chars"},
    ],
)
def test_good_settings_start(load: Load, variables: dict[str, str]) -> None:
    assert load(**PRODUCTION | variables).metrics_token


@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL"])
@pytest.mark.parametrize("value", ["", "redis.example.com", "redis://[::1/0"])
def test_an_address_that_nobody_can_read_is_a_fault(load: Load, name: str, value: str) -> None:
    (fault,) = faults(load, **{name: value})
    assert fault.startswith(f"  - {name}: ")
    assert "value error" not in fault, "no words of the library"


@pytest.mark.parametrize("scheme", ["amqp", "sentinel", "unix", "memory"])
def test_a_broker_that_is_not_supported_is_a_fault(load: Load, scheme: str) -> None:
    (fault,) = faults(load, REDIS_URL=f"{scheme}://broker.example.com")
    assert "only redis:// and rediss:// are supported" in fault


@pytest.mark.parametrize("scheme", ["mysql", "oracle", "postgre", "postgresql+psycopg"])
def test_a_database_that_is_not_supported_is_a_fault(load: Load, scheme: str) -> None:
    (fault,) = faults(load, DATABASE_URL=f"{scheme}://db.example.com/name")
    assert "only postgres:// and sqlite:/// are supported" in fault


@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL"])
@pytest.mark.parametrize("password", ["hun/ter2", "hun#ter2", "[hun]ter2", "hun[ter2"])
def test_a_password_that_breaks_its_url_is_a_fault_that_does_not_show_it(
    load: Load, name: str, password: str
) -> None:
    scheme = {"REDIS_URL": "redis", "DATABASE_URL": "postgres"}[name]
    (fault,) = faults(load, **{name: f"{scheme}://service:{password}@127.0.0.1:1234/0"})
    assert "a / in a password is written %2F" in fault
    assert "hun" not in fault


def test_a_database_in_memory_is_none_of_the_faults(load: Load) -> None:
    assert load(DATABASE_URL="sqlite://:memory:").database_url


@pytest.mark.parametrize("asked", ["none", "CERT_NONE", "optional"])
def test_a_redis_whose_certificate_nobody_verifies_is_a_fault(load: Load, asked: str) -> None:
    url = f"{FAR['REDIS_URL']}?ssl_cert_reqs={asked}"
    (fault,) = faults(load, **PRODUCTION | FAR | {"REDIS_URL": url})
    assert f"REDIS_URL has ssl_cert_reqs={asked}" in fault


@pytest.mark.parametrize("process", ["offload.serving", "offload.jobs", "django"])
def test_no_process_starts_with_an_open_door(service: Path, process: str) -> None:
    env = os.environ | PRODUCTION | {"METRICS_TOKEN": "", "DEBUG": "1"}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    refused = subprocess.run(
        [sys.executable, "-m", process, *(("check",) if process == "django" else ())],
        cwd=service,
        env=env if process != "django" else env | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS * 4,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.count("  - ") == 2, refused.stderr
    assert "Traceback" not in refused.stderr


def log_in(server: Server, page: httpx.Response, headers: dict[str, str]) -> str:
    """Send the form of the login page; returns the cookie of the session."""
    sent = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert sent is not None
    # httpx sends no Secure cookie over HTTP.
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    answer = httpx.post(
        f"{server.url}/admin/login/",
        headers=headers | {"Cookie": cookie, "Origin": "https://risk.example.com"},
        data={"csrfmiddlewaretoken": sent[1], "username": "root", "password": "of-the-tests"},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 302, answer.text
    cookies = answer.headers.get_list("Set-Cookie")
    return next(found for found in cookies if found.startswith("sessionid="))


def test_one_process_serves_and_has_static_files_without_collectstatic(
    generated: Generated,
) -> None:
    """As docs/production.md says, also where `WEB_CONCURRENCY` asks for four."""
    https = {"Host": "risk.example.com", "X-Forwarded-Proto": "https"}
    with generated(**PRODUCTION, WEB_CONCURRENCY="4") as server:
        pid = server.process.pid
        assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
        styles = server.get("/static/admin/css/base.css", headers=https)
        assert styles.status_code == 200
        assert styles.headers["Content-Type"].startswith("text/css")


def test_production_sends_cookies_over_https_alone_and_binds_browsers_to_it(
    generated: Generated,
) -> None:
    host = {"Host": "risk.example.com"}
    https = host | {"X-Forwarded-Proto": "https"}
    with generated(**PRODUCTION) as server:
        plain = server.get("/admin/login/", headers=host)
        assert plain.status_code == 301
        assert plain.headers["Location"].startswith("https://risk.example.com/")
        page, api = (server.get(each, headers=https) for each in ("/admin/login/", "/api/ping"))
        assert "Secure" in page.headers["Set-Cookie"]
        session = log_in(server, page, https)
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(session.split("; "))
        assert server.get("/health/live").status_code == 200, "a probe comes without TLS"
    for answer in (page, api):
        assert answer.status_code == 200
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert "camera=()" in answer.headers["Permissions-Policy"]
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_metrics_of_production_are_for_the_scraper_alone(generated: Generated) -> None:
    with generated(**PRODUCTION) as server:
        assert server.get("/metrics").status_code == 401
        for token, status in (("wrong", 401), (PRODUCTION["METRICS_TOKEN"], 200)):
            answer = server.get("/metrics", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status


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


def test_only_the_service_itself_reads_its_folder(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's database in it has the keys of sessions, also with real hosts."""
    from config import env

    for name, variables in (("laptop", {}), ("real", PRODUCTION)):
        monkeypatch.setattr(env, "VAR_DIR", tmp_path / name)
        load(**variables)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700

    given = tmp_path / "given"
    given.mkdir()
    given.chmod(0o750)
    monkeypatch.setattr(env, "VAR_DIR", given)
    load()
    assert given.stat().st_mode & 0o777 == 0o750
