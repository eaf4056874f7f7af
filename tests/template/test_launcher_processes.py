"""Which processes the launcher starts, where a team has a worker of its own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from offload_dev.launcher.processes import choose_processes, environment_of, readiness_path
from offload_dev.pytest import running_service

from .conftest import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
RELOADED = "exec python -m offload_dev.launcher.reloader "
OWN = "python -m offload.jobs -Q erp -n erp@%h -c 2"


@pytest.fixture(autouse=True)
def procfiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a service, with a worker for the queue `erp` and with a program that is none."""
    for name, begin in (("Procfile", "exec "), ("Procfile.dev", RELOADED)):
        text = (PROJECT / name).read_text()
        (tmp_path / name).write_text(f"{text}erp: {begin}{OWN}\nother: exec sleep 1\n")
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "MARKETS_URL", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_worker_of_a_teams_own_queue_runs_in_dev_and_in_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fixture `service` is `serve`: a job of that queue would stay queued in each test."""
    assert choose_processes("dev")["erp"] == RELOADED + OWN
    served = choose_processes("serve")
    assert set(served) == {"web", "cpu", "default", "erp", "valkey", "sandbox"}
    assert served["erp"] == f"exec {OWN}"
    monkeypatch.setenv("REDIS_URL", "redis://redis.example.com")
    assert set(choose_processes("serve")) == {"web", "sandbox"}


def test_each_worker_counts_where_the_metrics_of_all_workers_are_read() -> None:
    env = cast("Any", SimpleNamespace(worker_metrics_port=None, port=8000))
    for command in (OWN, RELOADED + OWN):
        found = environment_of(command, env)
        assert found["WORKER_METRICS_PORT"] == "8004"
        assert found["PROMETHEUS_MULTIPROC_DIR"] == "var/metrics/8004"
    assert "WORKER_METRICS_PORT" not in environment_of("exec python -m offload.serving", env)


@pytest.mark.parametrize(("has_workers", "path"), [(True, "dependencies"), (False, "live")])
def test_a_service_without_workers_waits_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_workers: bool, path: str
) -> None:
    """An API that has no jobs deletes them from both files. Its tests start it, too."""
    if not has_workers:
        for name in ("Procfile", "Procfile.dev"):
            lines = (tmp_path / name).read_text().splitlines(keepends=True)
            (tmp_path / name).write_text("".join(x for x in lines if "offload.jobs" not in x))
    assert readiness_path(choose_processes("dev")) == f"/health/{path}"

    class Reached(Exception):
        """The probe that the fixture was about to wait for."""

    def reach(mode: str, environment: dict[str, str], log: Path, probe: str) -> None:
        raise Reached(probe)

    monkeypatch.setattr(running_service, "_launcher", reach)
    with (
        pytest.raises(Reached, match=f"/health/{path}$"),
        running_service.run_service(tmp_path),
    ):
        pass
