"""Hosts for the tests: see `cluster.py`."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from host_network import cannot_isolate, enter
from postgresql_server import programs_or_skip

from .cluster import Cluster, make_certificate
from .compose_proxy import ComposeProxy

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests wait for many processes, on machines that other work keeps busy."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


def _reason() -> str:
    if reason := cannot_isolate():
        return reason
    missing = [name for name in ("nginx", "openssl", "cc") if not shutil.which(name)]
    return f"missing: {', '.join(missing)}" if missing else ""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated service."""
    answers = {
        "project_name": "Desk",
        "example": "no",
        "websockets": "yes" if find_spec("channels") else "no",
    }
    folder = tmp_path_factory.mktemp("service")
    root = str(HERE.parents[1])
    made = cookiecutter(root, no_input=True, output_dir=str(folder), extra_context=answers)
    return Path(made)


@pytest.fixture(scope="session")
def cluster(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One service on seven hosts, for all tests: each leaves it as it found it."""
    if reason := _reason():
        assert "REQUIRE_NETNS" not in os.environ, reason
        pytest.skip(f"NOTHING WAS TRIED ON SEVERAL HOSTS: {reason}")

    programs = programs_or_skip("nothing was tried on several hosts")
    enter()
    folder = tmp_path_factory.mktemp("hosts")
    make_certificate(folder)
    cluster = Cluster(folder, service, programs)
    try:
        cluster.open()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def front(cluster: Cluster) -> ComposeProxy:
    """The proxy of compose.yaml, before the web processes on both hosts."""
    return ComposeProxy(cluster)
