"""The generated README's own steps, typed in word for word, pass the project's checks and run."""

import re
from pathlib import Path

import pytest

from .conftest import BIN, bake, run

SHARED = (f"VENV={BIN.parent}", f"READY={BIN / 'python'}")


@pytest.mark.timeout(300)
def test_a_newcomer_who_follows_the_readme_has_an_endpoint_and_a_job(tmp_path: Path) -> None:
    assert bake(tmp_path, example="no").returncode == 0
    project = tmp_path / "risk_desk"
    upstreams, api, routes, compute, jobs, endpoint = re.findall(
        r"```python\n(.*?)```", (project / "README.md").read_text(), re.DOTALL
    )
    feature = project / "risk_desk" / "weather"
    feature.mkdir()
    (feature / "__init__.py").write_text('"""Weather, from stations and satellites."""\n')
    (feature / "upstreams.py").write_text(upstreams)
    (feature / "compute.py").write_text(compute)
    (feature / "jobs.py").write_text(jobs)
    # A person puts imports at the top, and `make fix` sorts them.
    (imports, get), (more_imports, post) = api.split("\n\n\n"), endpoint.split("\n\n\n")
    (feature / "api.py").write_text(
        f'"""Weather for callers."""\n\n{more_imports}\n{imports}\n\n\n{get}\n\n{post}'
    )
    settings, urls = project / "config" / "settings.py", project / "config" / "urls.py"
    settings.write_text(
        settings.read_text().replace(
            '"offload.access",', '"offload.access",\n    "risk_desk.weather",'
        )
    )
    router, added = routes.split("\n\n")
    text = urls.read_text().replace(
        "from offload import views", f"from offload import views\n{router}"
    )
    urls.write_text(text.replace("\nurlpatterns", f"{added}\nurlpatterns", 1))
    run("make", "fix", *SHARED, cwd=project)
    checked = run("make", "check", *SHARED, cwd=project)
    assert checked.returncode == 0, checked.stdout
    code = """
import config.asgi, config.urls
from offload.jobs import kinds
from offload.jobs.kinds import find
forecast = find("weather.forecast")
forecast.preload()
print(len(forecast.function(forecast.params(cells=5), lambda *_: None).values))
print(sorted(config.urls.api.get_openapi_schema()["paths"]))
"""
    ran = run(BIN / "python", "-c", code, cwd=project)
    assert "5\n" in ran.stdout, ran.stdout
    assert "/api/weather/forecast" in ran.stdout
    assert "/api/weather/now" in ran.stdout
