"""A generated service, its image, and its containers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cookiecutter.main import cookiecutter
from host_network import enter
from postgresql_server import postgres_server, programs_or_skip

from .buildah import Builder, require_buildah
from .compose import read_services
from .containers import PROXY_ADDRESS, Containers

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# As in docs/production.md.
VARIABLES = {
    "ALLOWED_HOSTS": "desk.example.com",
    "SECRET_KEY": "ofthetests" + "0123456789" * 5,
    "METRICS_TOKEN": "ofthescraper",
    "DATABASE_PASSWORD": "ofthedatabase",
    "REDIS_PASSWORD": "ofthebroker",
    "FLOWER_PASSWORD": "oftheflower1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An image is built in minutes."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated service with everything that must stay out of its image."""
    folder = tmp_path_factory.mktemp("project")
    made = Path(cookiecutter(str(ROOT), no_input=True, output_dir=str(folder)))
    (made / ".env").write_text("SECRET_KEY=stays-out\n")
    (made / "risk_desk" / ".env.production").write_text("SECRET_KEY=stays-out\n")
    (made / "risk_desk" / "tests").mkdir()
    return made


@pytest.fixture(scope="session")
def builder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    require_buildah()
    builder = Builder(tmp_path_factory.mktemp("image"))
    builder.make_base(ROOT / "build" / "image-base.tar")
    builder.build(project)
    return builder


@pytest.fixture(scope="session")
def root(builder: Builder) -> Path:
    return builder.mount("localhost/service")


@pytest.fixture(scope="session")
def containers(
    project: Path, builder: Builder, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    """A migrated service, in a network of its own: of its containers only the broker runs."""
    programs = programs_or_skip("no service of compose.yaml was run")
    # From here on there is nothing but this machine.
    enter()
    subprocess.run(["ip", "address", "add", f"{PROXY_ADDRESS}/24", "dev", "lo"], check=True)
    folder = tmp_path_factory.mktemp("containers")
    services = read_services(project, VARIABLES)
    containers = Containers(root, folder, services, builder.inspect("localhost/service"))
    with postgres_server(programs, port=5432) as database:
        _make_database(database.url)
        broker = _start_broker(folder, services["valkey"])
        try:
            assert containers.run("migrate") == 0, containers.log("migrate")
            yield containers
        finally:
            containers.close()
            broker.kill()
            broker.wait()


def _make_database(url: str) -> None:
    """What the image of PostgreSQL makes of its variables."""
    with psycopg.connect(url, autocommit=True) as connection:
        password = VARIABLES["DATABASE_PASSWORD"]
        connection.execute(f"CREATE ROLE service LOGIN PASSWORD '{password}'")
        connection.execute("CREATE DATABASE service OWNER service")


def _start_broker(folder: Path, declared: dict[str, object]) -> "subprocess.Popen[bytes]":
    """The broker, by its own command line; its data is in the folder."""
    from offload_dev.launcher.embedded_valkey import command

    (folder / "bin").mkdir()
    (folder / "data").mkdir()
    (folder / "bin" / "valkey-server").symlink_to(command(6379)[0])
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    arguments = [part.replace("/data", str(folder / "data")) for part in declared["command"]]  # type: ignore[attr-defined]
    return subprocess.Popen(
        arguments,
        env=os.environ | {"PATH": path} | declared["environment"],  # type: ignore[operator]
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def sandbox(project: Path, containers: Containers) -> Iterator[None]:
    """The price sources of the example, where a service expects them by default."""
    variables = {"SANDBOX_PORT": "8002", "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-m", "sandbox"]
    env = os.environ | variables | {"SECRET_KEY": ""}
    with subprocess.Popen(command, cwd=project, env=env) as process:
        yield
        process.kill()
