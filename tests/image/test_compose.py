"""Each service of compose.yaml, run by its command, environment and check of health as written."""

from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from .compose import needed_variables, read_services
from .conftest import VARIABLES
from .containers import Containers, ask, until

# They run the service's image.
LASTING = ("web", "cpu", "default", "flower")


@pytest.fixture(scope="session")
def services(project: Path) -> dict[str, Any]:
    return read_services(project, VARIABLES)


def test_the_page_names_the_variables_that_compose_needs(project: Path) -> None:
    page = (project / "docs" / "production.md").read_text()
    (example,) = [
        block for block in page.split("```") if "REDIS_PASSWORD=" in block and "=" in block
    ]
    assert {line.split("=")[0] for line in example.split()} >= needed_variables(project)
    assert needed_variables(project) == set(VARIABLES)


def test_the_commands_are_those_of_the_procfile(project: Path, services: dict[str, Any]) -> None:
    lines = (project / "Procfile").read_text().splitlines()
    roles = dict(line.split(": exec ") for line in lines)
    # Its own command is that of the image.
    assert "command" not in services["web"]
    for name in ("cpu", "default"):
        assert " ".join(services[name]["command"]) == roles[name]
    flower = " ".join(services["flower"]["command"])
    assert flower == f"{roles['flower']} --address=0.0.0.0"


def test_every_service_runs_computes_and_stops(containers: Containers, sandbox: None) -> None:
    for name in LASTING:
        containers.start(name)
    logs = [containers.folder / f"{name}.log" for name in LASTING]
    until(lambda: ask("/health/dependencies").status_code == 200, "all dependencies", logs)
    for name in ("web", "cpu", "default"):
        until(partial(containers.is_healthy, name), f"a healthy {name}", logs)

    flower = "http://127.0.0.1:8001/"
    until(lambda: httpx.get(flower, trust_env=False).status_code == 401, "Flower", logs)
    password = ("admin", VARIABLES["FLOWER_PASSWORD"])
    assert httpx.get(flower, auth=password, trust_env=False, timeout=30).status_code < 400
    assert ask("/metrics").status_code == 401
    scraper = f"Bearer {VARIABLES['METRICS_TOKEN']}"
    assert ask("/metrics", Authorization=scraper).status_code == 200
    # Only what comes from the proxy's network is believed to have come over HTTPS.
    assert ask("/admin/login/").status_code == 200
    assert ask("/static/admin/css/base.css").status_code == 200

    token = _make_token(containers)
    _compute(token)

    assert {name: containers.stop(name) for name in LASTING} == dict.fromkeys(LASTING, 0)
    for name in LASTING:
        assert "Read-only file system" not in containers.log(name)
        assert "Traceback" not in containers.log(name), containers.log(name)


def _make_token(containers: Containers) -> str:
    assert containers.run("migrate", "python", "manage.py", "createtoken", "ada", name="token") == 0
    return next(line for line in containers.log("token").splitlines() if len(line) == 43)


def _compute(token: str) -> None:
    """A job from its request to its result."""
    bearer = f"Bearer {token}"
    headers = {"Host": "desk.example.com", "Authorization": bearer}
    body = {"holdings": {"ACME": 10}, "simulations": 1000}
    url = "http://127.0.0.1:8000/api/portfolio/risk"
    submitted = httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)
    assert submitted.status_code == 202, submitted.text
    path = submitted.headers["Location"]
    until(lambda: ask(path, Authorization=bearer).json()["status"] == "succeeded", "the result")


def test_a_container_without_its_settings_says_all_that_is_missing(containers: Containers) -> None:
    for service, name in (("web", "bare web"), ("cpu", "bare worker")):
        missing = {"SECRET_KEY": "", "METRICS_TOKEN": ""}
        assert containers.run(service, name=name, **missing) == 1
        assert containers.log(name).count("  - ") == 2, containers.log(name)
