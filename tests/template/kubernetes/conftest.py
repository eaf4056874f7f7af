"""The manifests of `deployment=kubernetes`, rendered by kustomize, and what they are held against.

`KUBERNETES` names the folder of the programs of requirements/kubernetes.txt. KEDA's queries run in
tests/jobs/test_scaling.py.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from template.conftest import BIN, bake, run

from .manifests import Documents, containers

HERE = Path(__file__).parent
OVERLAYS = ("staging", "production")
# Python in the generated project, with its settings.
FACTS = """
import json, sys
import django
django.setup()
from django.urls import resolve
from config.celery import app
from config.env import Env
from offload.conf import Offload
from offload.jobs.worker import health, shutdown
from offload.observe.span_queue import SENT_AFTER_SECONDS
from offload.serving import __main__ as serving
from offload.serving.application import CLEANUP_TIMEOUT_SECONDS
sys.argv = ["serving", *sys.argv[1:]]
stop = serving._arguments()
print(json.dumps({
    "queues": [queue.name for queue in app.conf.task_queues],
    "names": [name.upper() for name in Env.model_fields],
    "probes": [resolve(f"/health/{name}").func.__name__ for name in ("live", "ready")],
    "port": Env.model_fields["port"].default,
    "web stops": stop.drain + stop.grace + CLEANUP_TIMEOUT_SECONDS,
    "worker stops": shutdown.LAST_STATEMENTS_SECONDS + shutdown.SPOOL_WAIT_SECONDS
        + SENT_AFTER_SECONDS,
    "life": health.MAX_AGE_SECONDS,
    "spool": Offload().spool_limit,
    "request threads": Offload().max_request_connections,
}))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each starts Python several times; on a busy machine it has a twentieth of a core."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="package")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with manifests."""
    folder = tmp_path_factory.mktemp("kubernetes")
    made = bake(folder, deployment="kubernetes", example="no")
    assert made.returncode == 0, made.stdout
    return folder / "risk_desk"


@pytest.fixture(scope="package")
def programs() -> Path:
    folder = os.environ.get("KUBERNETES")
    if folder is None:
        if os.environ.get("REQUIRE_KUBERNETES"):
            pytest.fail("REQUIRE_KUBERNETES is set and KUBERNETES is not: the folder of kubectl")
        pytest.skip("NO KUBERNETES: nobody looked at the manifests of deploy/kubernetes")
    return Path(folder)


@pytest.fixture(scope="package")
def rendered(chosen: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what kustomize makes of each overlay."""
    folder = tmp_path_factory.mktemp("rendered")
    for overlay in OVERLAYS:
        source = chosen / "deploy/kubernetes/overlays" / overlay
        made = run(programs / "kubectl", "kustomize", source, cwd=folder)
        assert made.returncode == 0, made.stdout
        (folder / f"{overlay}.yaml").write_text(made.stdout)
    return folder


@pytest.fixture(scope="package", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="package")
def documents(rendered: Path, overlay: str) -> Documents:
    return list(yaml.safe_load_all((rendered / f"{overlay}.yaml").read_text()))


@pytest.fixture(scope="package")
def facts(chosen: Path, documents: Documents) -> dict[str, Any]:
    """The figures of the code; those of a stop with the arguments of the manifests."""
    arguments = containers(documents)["web"]["command"][3:]
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR"}
    ran = run(BIN / "python", "-c", FACTS, *arguments, cwd=chosen, **environment)
    assert ran.returncode == 0, ran.stdout
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="package")
def compose(chosen: Path) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((chosen / "compose.yaml").read_text())["services"]
    return services
