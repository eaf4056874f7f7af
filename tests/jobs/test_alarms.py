"""A real Prometheus with the rules of deploy/monitoring: no alarm in peace, one in each fault."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from alarm_rules import rules_of

from .conftest import ROOT, Lab, free_port
from .test_metrics import Fleet, answers

MONITORING = ROOT / "{{cookiecutter.project_slug}}" / "deploy" / "monitoring"
# Seconds without an alarm: some 10 scrapes.
PEACE_SECONDS = 5.0


class Prometheus:
    """It scrapes the fleet twice a second. Alarms do not wait until their fault has lasted."""

    def __init__(self, lab: Lab, fleet: Fleet, program: str) -> None:
        folder = lab.folder / "prometheus"
        folder.mkdir()
        rules = re.sub(r"^ +for: .*\n", "", rules_of("lab"), flags=re.MULTILINE)
        (folder / "alarms.yml").write_text(rules)
        targets = {"web": next(iter(fleet.web.values())), "workers": fleet.workers}
        jobs = [
            {
                "job_name": f"lab-{name}",
                "static_configs": [{"targets": [url.removeprefix("http://")]}],
            }
            for name, url in targets.items()
        ]
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["alarms.yml"],
            "scrape_configs": jobs,
        }
        (folder / "config.json").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        lab.start(
            "prometheus",
            program,
            f"--config.file={folder}/config.json",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        )

    def get(self, path: str, **params: str) -> dict[str, list[dict[str, Any]]]:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, trust_env=False, timeout=30)
        # It answers 503 without JSON until it has read its storage.
        answer.raise_for_status()
        found: dict[str, list[dict[str, Any]]] = answer.json()["data"]
        return found

    def is_up(self) -> bool:
        return len(self.get("query", query="up == 1")["result"]) == 2

    def firing(self) -> set[str]:
        return {each["labels"]["alertname"] for each in self.get("alerts")["alerts"]}

    def empty_panels(self) -> list[str]:
        """The queries of the dashboards that return nothing, or NaN. There are 40 or so."""
        empty = []
        for file in sorted((MONITORING / "dashboards").glob("*.json")):
            for panel in json.loads(file.read_text())["panels"]:
                for target in panel["targets"]:
                    # All that this test has done.
                    query = target["expr"].replace("$__rate_interval", "10m")
                    query = query.replace("$service", "lab")
                    found = self.get("query", query=query)["result"]
                    if all(each["value"][1] == "NaN" for each in found):
                        empty.append(f"{file.stem}: {panel['title']}: {query}")
        return empty


@pytest.fixture
def fleet(lab: Lab) -> Fleet:
    """A web process and a worker."""
    lab.redis()
    made = Fleet(lab)
    made.add_web("web0")
    made.add_worker("worker0")
    made.wait()
    return made


@pytest.fixture
def prometheus(lab: Lab, fleet: Fleet) -> Prometheus:
    program = shutil.which("prometheus")
    if program is None:
        if os.environ.get("REQUIRE_PROMETHEUS"):
            pytest.fail("REQUIRE_PROMETHEUS is set and there is no Prometheus on this machine")
        pytest.skip("NO PROMETHEUS ON THIS MACHINE: the alarms were not tried")
    started = Prometheus(lab, fleet, program)
    lab.until(started.is_up, "Prometheus to have asked both")
    return started


def test_no_alarm_in_peace_and_one_in_each_fault(fleet: Fleet, prometheus: Prometheus) -> None:
    from offload.jobs.models import Job

    lab = fleet.lab
    fleet.succeed(fleet.submit(3))
    # The web process has heard of the worker.
    lab.until(lambda: not prometheus.firing(), "no alarm")
    until = time.monotonic() + PEACE_SECONDS
    while time.monotonic() < until:
        assert prometheus.firing() == set()
        time.sleep(0.5)

    def alarm(name: str) -> Callable[[], bool]:
        return lambda: name in prometheus.firing()

    (address,) = fleet.web.values()
    token = {"Authorization": f"Bearer {fleet.token}"}
    assert httpx.get(f"{address}/api/lab/sin", headers=token, trust_env=False).is_success
    lab.until(alarm("LoopBlocked"), "the alarm of the blocked loop")

    called = httpx.get(f"{address}/api/lab/call", headers=token, trust_env=False, timeout=60)
    assert called.json() == {"last": "open"}
    lab.until(alarm("BreakerOpen"), "the alarm of the upstream")
    (line, *_) = (json.loads(text) for text in lab.log("web0").splitlines() if "failed:" in text)
    assert (line["upstream"], line["outcome"]) == ("nowhere", "error")
    assert line["request_id"] == called.headers["X-Request-ID"]

    job = lab.computes(lab.submit("lab.burn", units=150))
    os.kill(job.pid, signal.SIGKILL)
    lab.until(alarm("JobsLost"), "the alarm of the lost attempt")
    lab.reaches(job, "succeeded")

    def panels_are_full() -> bool:
        # Pages that need a thread, more than are idle. Again and again: a rate needs two scrapes
        # with different counts.
        with ThreadPoolExecutor(16) as pool:
            pages = [pool.submit(answers, address, "/admin/login/") for _ in range(64)]
        assert all(page.result() for page in pages)
        return prometheus.empty_panels() == []

    lab.until(panels_are_full, "each query of each panel to have a value")

    lab.kill("redis")
    lab.until(alarm("BrokerGone"), "the alarm of the broker")
    old = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=old.pk).update(due_at=old.created_at - timedelta(seconds=600))
    lab.until(alarm("QueueOld"), "the alarm of the old queue")

    lab.kill("worker0")
    lab.until(alarm("WorkersDown"), "the alarm of the workers' address")
    lab.until(alarm("NoWorker"), "the alarm of the worker's row")
    lab.kill("web0")
    lab.until(alarm("WebDown"), "the alarm of the web process")
    assert "StatsOld" not in prometheus.firing()
