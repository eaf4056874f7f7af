"""The image of a generated service: what is in it, and every role run from its root file system."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cookiecutter.main import cookiecutter
from postgresql_server import find_programs, free_port, server

from .buildah import Builder, container_command, require_buildah

ROOT = Path(__file__).parents[2]
MAX_BYTES_BEYOND_THE_BASE = 250 * 1000 * 1000
# A process imports for 2 s; on a busy machine it has a twentieth of a core.
TIMEOUT_SECONDS = 120
USER_ID = 10001
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated service with everything that must stay out of its image."""
    folder = tmp_path_factory.mktemp("project")
    made = Path(cookiecutter(str(ROOT), no_input=True, output_dir=str(folder)))
    (made / ".env").write_text("SECRET_KEY=stays-out\n")
    (made / "risk_desk" / ".env.production").write_text("SECRET_KEY=stays-out\n")
    (made / "risk_desk" / "tests").mkdir()
    return made


@pytest.fixture(scope="module")
def builder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    require_buildah()
    builder = Builder(tmp_path_factory.mktemp("image"))
    builder.make_base(ROOT / "build" / "image-base.tar")
    builder.build(project)
    return builder


@pytest.fixture(scope="module")
def root(builder: Builder) -> Path:
    return builder.mount("localhost/service")


def test_the_image_has_what_production_runs_and_nothing_else(root: Path) -> None:
    app = {path.name for path in (root / "app").iterdir()} - {"__pycache__"}
    assert app == {"config", "manage.py", "offload", "risk_desk", "var"}
    assert not list((root / "app").rglob(".env*"))
    assert not list((root / "app").rglob("tests"))
    assert not (root / "build").exists()
    installed = {path.name for path in (root / "opt/venv/lib").glob("python*/site-packages/*")}
    assert {"django", "celery", "uvicorn"} <= installed
    assert not installed & {"pip", "uv", "pytest", "ruff", "mypy", "cookiecutter"}


def test_the_image_is_small(builder: Builder) -> None:
    beyond = builder.size("localhost/service") - builder.size("localhost/base")
    print(f"{beyond / 1e6:.0f} MB beyond the base")
    assert 0 < beyond < MAX_BYTES_BEYOND_THE_BASE


def test_the_image_says_who_runs_it_and_how(builder: Builder) -> None:
    config = builder.inspect("localhost/service")
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert config["Cmd"] == ["python", "-m", "offload.serving"]
    assert not config["Entrypoint"]
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-P", "offload/serving/health.py"]
    assert config["Labels"]["org.opencontainers.image.title"] == "risk_desk"
    assert config["Volumes"] == {"/app/var": {}}


def test_nobody_but_root_could_change_the_code(root: Path) -> None:
    for folder in (root / "app", root / "opt/venv"):
        for path in (folder, *folder.rglob("*")):
            if not path.is_relative_to(root / "app/var") and not path.is_symlink():
                assert path.stat().st_uid == 0, path
                assert not path.stat().st_mode & 0o022, path


class Cluster:
    """The containers of a service, beside its PostgreSQL and its Valkey."""

    def __init__(self, root: Path, image: dict[str, Any], folder: Path, database: str) -> None:
        self.root = root
        self.folder = folder
        self.port, self.flower_port, self.redis_port = free_port(), free_port(), free_port()
        self.volume = folder / "var"
        for name in ("", "media", "spool"):
            (self.volume / name).mkdir()
            os.chown(self.volume / name, USER_ID, USER_ID)
        self.environment = {
            **dict(each.split("=", 1) for each in image["Env"]),
            "ALLOWED_HOSTS": "desk.example.com",
            "SECRET_KEY": "of-the-tests-" + "0123456789" * 5,
            "METRICS_TOKEN": "of-the-scraper",
            "DATABASE_URL": database,
            "REDIS_URL": f"redis://:of-the-tests@127.0.0.1:{self.redis_port}/0",
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "FLOWER_PASSWORD": "of-the-tests",
            "MARKETS_URL": f"http://127.0.0.1:{free_port()}",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def start(self, name: str, command: str, **more: str) -> None:
        """Start a container."""
        variables = [f"{key}={value}" for key, value in (self.environment | more).items()]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                container_command(shlex.split(command), variables),
                env=os.environ | {"ROOT": str(self.root), "VOLUME": str(self.volume)},
                stdout=log,
                stderr=log,
            )

    def run(self, name: str, command: str, **more: str) -> int:
        """Run a container to its end; its exit code."""
        self.start(name, command, **more)
        return self.processes.pop(name).wait(TIMEOUT_SECONDS)

    def stop(self, name: str) -> int:
        """Send the first process of a container a SIGTERM; its exit code."""
        outer = self.processes.pop(name)
        (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(inner), signal.SIGTERM)
        return outer.wait(TIMEOUT_SECONDS)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask the web process as the proxy in front does."""
        sent = {"Host": "desk.example.com", "X-Forwarded-Proto": "https", **headers}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.get(url, headers=sent, trust_env=False, timeout=30)


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not _holds(holds):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.5)


def _holds(holds: Callable[[], bool]) -> bool:
    with suppress(httpx.TransportError):
        return holds()
    return False


@pytest.fixture(scope="module")
def cluster(
    builder: Builder, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A migrated service in its image: no process of it runs yet."""
    from offload_dev.launcher.embedded_valkey import command

    programs = find_programs()
    assert programs is not None, "these tests need PostgreSQL"
    folder = tmp_path_factory.mktemp("cluster")
    with server(programs) as database:
        image = builder.inspect("localhost/service")
        cluster = Cluster(root, image, folder, database["LAB_DATABASE_URL"])
        valkey = [*command(cluster.redis_port), "--requirepass", "of-the-tests"]
        cluster.processes["valkey"] = subprocess.Popen(valkey, stdout=subprocess.DEVNULL)
        try:
            assert cluster.run("migrate", "python manage.py migrate") == 0, cluster.log("migrate")
            yield cluster
        finally:
            for process in cluster.processes.values():
                process.kill()
                process.wait()


def roles(project: Path) -> dict[str, str]:
    """The commands of the Procfile, by role."""
    lines = (project / "Procfile").read_text().splitlines()
    return dict(line.split(": exec ") for line in lines)


def test_every_role_runs_from_the_image_computes_and_stops(cluster: Cluster, project: Path) -> None:
    for name, command in roles(project).items():
        cluster.start(name, command, WORKER_LIFE_FILE="/app/var/alive-" + name)
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "sandbox"],
        cwd=project,
        env=os.environ
        | {"SANDBOX_PORT": cluster.environment["MARKETS_URL"].rsplit(":", 1)[1]}
        | {"DJANGO_SETTINGS_MODULE": "config.settings", "SECRET_KEY": ""},
    )
    cluster.processes["sandbox"] = sandbox
    until(lambda: cluster.get("/health/dependencies").status_code == 200, "all dependencies")

    assert cluster.run("web health", "python -P offload/serving/health.py") == 0
    for worker in ("cpu", "default"):
        life = {"WORKER_LIFE_FILE": f"/app/var/alive-{worker}"}
        until(
            lambda life=life: (
                cluster.run(  # type: ignore[misc]
                    "worker health", "python offload/jobs/worker/health.py", **life
                )
                == 0
            ),
            f"the sign of life of {worker}",
        )
    flower = f"http://127.0.0.1:{cluster.flower_port}/flower/"
    until(lambda: httpx.get(flower, trust_env=False).status_code == 401, "Flower's refusal")
    assert cluster.get("/metrics").status_code == 401
    assert cluster.get("/admin/login/").status_code == 200
    assert cluster.get("/static/admin/css/base.css").status_code == 200

    assert cluster.run("token", "python manage.py createtoken ada") == 0
    token = next(line for line in cluster.log("token").splitlines() if len(line) == 43)
    _compute(cluster, token)

    codes = {name: cluster.stop(name) for name in roles(project)}
    assert codes == dict.fromkeys(roles(project), 0)
    for name in roles(project):
        assert "Read-only file system" not in cluster.log(name)
        assert "Traceback" not in cluster.log(name), cluster.log(name)


def _compute(cluster: Cluster, token: str) -> None:
    """A job from its request to its result."""
    headers = {"Host": "desk.example.com", "Authorization": f"Bearer {token}"}
    body = {"holdings": {"ACME": 10}, "simulations": 1000}
    url = f"http://127.0.0.1:{cluster.port}/api/portfolio/risk"
    submitted = httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)
    assert submitted.status_code == 202, submitted.text
    path = submitted.headers["Location"]
    until(
        lambda: cluster.get(path, Authorization=f"Bearer {token}").json()["status"] == "succeeded",
        "the result",
    )


def test_a_container_without_its_settings_says_all_that_is_missing(cluster: Cluster) -> None:
    for name, command in (("bare web", "offload.serving"), ("bare worker", "offload.jobs")):
        code = cluster.run(
            name, f"python -m {command}", SECRET_KEY="", METRICS_TOKEN="", ALLOWED_HOSTS="a.example"
        )
        assert code == 1
        assert cluster.log(name).count("  - ") == 2, cluster.log(name)
