"""The steps of the generated README, typed word for word, pass the project's checks and run.

Nothing is sorted or repaired on the way: `make check` has to accept what the README says.
"""

import re
from pathlib import Path

import pytest

from .conftest import BIN, bake, run

SHARED = (f"VENV={BIN.parent}", f"READY={BIN / 'python'}")


def insert_before(path: Path, anchor: str, text: str) -> None:
    source = path.read_text()
    assert source.count(anchor) == 1
    path.write_text(source.replace(anchor, text + anchor))


def insert_after(path: Path, anchor: str, text: str) -> None:
    source = path.read_text()
    assert source.count(anchor) == 1
    path.write_text(source.replace(anchor, anchor + text))


@pytest.mark.timeout(300)
def test_a_newcomer_who_follows_the_readme_has_an_endpoint_and_a_job(tmp_path: Path) -> None:
    assert bake(tmp_path, example="no").returncode == 0
    project = tmp_path / "risk_desk"
    blocks = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    upstreams, api, url_import, routes, variable, compute, jobs, imports, endpoint = blocks
    feature = project / "risk_desk" / "weather"
    settings, urls = project / "config" / "settings.py", project / "config" / "urls.py"

    # "Add an async endpoint"
    feature.mkdir()
    (feature / "__init__.py").touch()
    (feature / "upstreams.py").write_text(upstreams)
    (feature / "api.py").write_text(api)
    insert_after(settings, '"offload.access",', '\n    "risk_desk.weather",')
    insert_after(urls, "from offload.api import make_api\n", f"\n{url_import}")
    insert_before(urls, "urlpatterns = [", f"{routes}\n")
    checked = run("ruff", "check", cwd=project)
    assert checked.returncode == 0, checked.stdout

    # "A real address comes from the environment"
    insert_before(project / "config" / "env.py", "    redis_url: str", variable)
    settings.write_text(settings.read_text() + "STATIONS_URL = env.stations_url\n")
    text = (feature / "upstreams.py").read_text()
    text = text.replace(
        'base_url="http://127.0.0.1:8002/wait/50"', "base_url=settings.STATIONS_URL"
    )
    (feature / "upstreams.py").write_text(f"from django.conf import settings\n\n{text}")

    # "Add a job that computes"
    (feature / "compute.py").write_text(compute)
    (feature / "jobs.py").write_text(jobs)
    text = (feature / "api.py").read_text()
    old_imports = text[: text.index("router = Router")]
    text = text.replace(old_imports, f"{imports}\n")
    (feature / "api.py").write_text(f"{text}\n\n{endpoint}")

    checked = run("make", "check", *SHARED, cwd=project)
    assert checked.returncode == 0, checked.stdout
    code = """
import config.asgi, config.urls
from offload.jobs.declare import find_job_type
from offload.jobs.worker.preload import preload
forecast = find_job_type("weather.forecast")
preload(forecast)
print(len(forecast.function(forecast.params(cells=5), lambda *_: None).values))
print(sorted(config.urls.api.get_openapi_schema()["paths"]))
"""
    ran = run(BIN / "python", "-c", code, cwd=project)
    assert "5\n" in ran.stdout, ran.stdout
    assert "/api/weather/forecast" in ran.stdout
    assert "/api/weather/now" in ran.stdout


def test_env_example_lists_every_variable_and_no_other(
    with_example: Path, without_example: Path
) -> None:
    for project in (with_example, without_example):
        listed = re.findall(r"^# ([A-Z_]+)=", (project / ".env.example").read_text(), re.MULTILINE)
        code = "from config.env import Env; print(*(name.upper() for name in Env.model_fields))"
        read = run(BIN / "python", "-c", code, cwd=project)
        assert sorted(listed) == sorted(read.stdout.split())
