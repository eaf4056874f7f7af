"""What every service promises its callers, tested on a running one."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command
from django.test import AsyncClient, Client

from offload_dev import agents
from offload_dev.pytest.running_service import RunningService


def test_ping_needs_no_token(service: RunningService) -> None:
    assert httpx.get(f"{service.address}/api/ping", trust_env=False).json() == {"pong": True}


def test_it_is_ready_with_database_broker_and_workers(service: RunningService) -> None:
    deadline = time.monotonic() + 60
    # The fixture waits for the first worker.
    while (report := service.client.get("/health/dependencies").json())["workers"] < 2:
        assert time.monotonic() < deadline, report
        time.sleep(0.1)
    assert (report["database"], report["broker"]) == (True, True)
    assert service.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("token", ["wrong", "dev-token"])
def test_without_a_valid_token_the_answer_is_a_problem(service: RunningService, token: str) -> None:
    answer = service.client.get("/api/jobs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "make token" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["/api/nothing", "/api/", "/api/jobs/no-uuid"])
def test_an_unknown_address_of_the_api_is_a_problem(service: RunningService, address: str) -> None:
    answer = service.client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_job_that_is_not_there_is_a_problem(service: RunningService) -> None:
    answer = service.client.get("/api/jobs/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(service: RunningService) -> None:
    answer = service.client.put("/api/jobs")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert answer.headers["allow"] == "GET, HEAD"


PAGES = [
    "/",
    "/api/docs",
    "/static/ninja/swagger-ui.css",
    "/admin/login/",
    "/static/admin/css/base.css",
    "/metrics",
]


@pytest.mark.parametrize("address", PAGES)
def test_pages_and_their_files_come_from_this_host(service: RunningService, address: str) -> None:
    answer = service.client.get(address, follow_redirects=True)
    assert answer.status_code == 200
    assert "://cdn" not in answer.text[:5000]


def test_the_committed_document_is_that_of_the_api(tmp_path: Path) -> None:
    current = tmp_path / "openapi.json"
    call_command("export_openapi_schema", api="config.urls.api", output=str(current))
    documents = [json.loads(file.read_text()) for file in (Path("docs/openapi.json"), current)]
    assert documents[0] == documents[1], "the API has changed: run `make openapi` and commit"


def test_the_pages_for_assistants_are_those_of_the_linter() -> None:
    for page, template in agents.PAGES.items():
        text = page.read_text()
        assert text == agents.with_block(text, template), "run `make agents` and commit"


def test_the_web_process_loads_nothing_that_computes() -> None:
    code = (
        "import sys, config.asgi, config.urls; "
        "print([name for name in sys.modules if name.endswith('.compute')])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


def test_the_page_of_the_environment_is_what_the_class_says() -> None:
    subprocess.run([sys.executable, "-m", "offload_dev.environment_page", "--check"], check=True)


{% if cookiecutter.deployment == "kubernetes" -%}
def test_the_cluster_has_the_alarms_of_every_prometheus() -> None:
    subprocess.run([sys.executable, "-m", "offload_dev.prometheus_rule", "--check"], check=True)


{% endif -%}
def test_runserver_points_to_make_dev() -> None:
    refused = subprocess.run(
        [sys.executable, "manage.py", "runserver"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "make dev" in refused.stderr


async def test_an_async_view_answers_without_a_server_inside_the_guards_net(
    async_client: AsyncClient,
) -> None:
    assert (await async_client.get("/api/ping")).json() == {"pong": True}


def test_a_page_answers_without_a_server(client: Client) -> None:
    assert client.get("/health/live").json() == {"live": True}
