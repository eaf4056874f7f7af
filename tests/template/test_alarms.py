"""The alarms of deploy/monitoring: each fires on the figures that it is for, and has its section.

`promtool` (Debian's package `prometheus`) computes. tests/jobs/test_alarms.py has the faults
themselves.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
RULES = PROJECT / "deploy" / "monitoring" / "alarms.yml"
RULE_LIST: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]

WEB, WORKERS = 'instance="a", job="web"', 'instance="b", job="workers"'
OK = f'offload_serving_request_seconds_count{{{WEB}, status="200"}}'
# A value each 15 s, for 20 minutes: `a+bxn` begins at a and adds b n times.
HEALTHY = {
    f"up{{{WEB}}}": "1x80",
    f"up{{{WORKERS}}}": "1x80",
    f"offload_database_age_seconds{{{WEB}}}": "0.5x80",
    OK: "0+100x80",
    f'offload_serving_request_seconds_count{{{WEB}, status="500"}}': "0+1x80",
    f'offload_serving_shed_total{{{WEB}, limit="threads"}}': "3x80",
    f"offload_log_lines_dropped_total{{{WEB}}}": "0x80",
    f"offload_trace_spans_dropped_total{{{WORKERS}}}": "0x80",
    f"offload_guard_blocked_seconds_count{{{WEB}}}": "2x80",
    f'offload_guard_gc_seconds_total{{{WEB}, generation="2"}}': "0+0.3x80",
    f'offload_fanout_breaker_state{{{WEB}, upstream="bank"}}': "1x80",
    f"offload_jobs_workers{{{WEB}}}": "2x80",
    f"offload_jobs_processes_without_broker{{{WEB}}}": "0x80",
    f'offload_jobs_oldest_seconds{{{WEB}, queue="cpu"}}': "20x80",
    f'offload_jobs_lost_total{{{WORKERS}, kind="risk"}}': "1x80",
    f'offload_jobs_ended_total{{{WORKERS}, kind="risk", status="failed"}}': "0+0.1x80",
    f'offload_jobs_ended_total{{{WORKERS}, kind="risk", status="succeeded"}}': "0+5x80",
    f'offload_jobs_unserved{{{WEB}, kind="risk", queue="cpu"}}': "0x80",
    f'offload_jobs_unread{{{WEB}, queue="cpu"}}': "0x80",
    # The time of Prometheus itself, which begins at 0 in such a test.
    f"offload_jobs_stats_timestamp_seconds{{{WEB}}}": "0+15x80",
}
# By alarm: what is otherwise, and the labels of the alarm.
FAULTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "WebDown": ({f"up{{{WEB}}}": "1x60 0x20"}, {"instance": "a", "job": "web"}),
    "DatabaseGone": ({f"offload_database_age_seconds{{{WEB}}}": "0.5x76 7 22 37 52"}, {}),
    "ServerErrors": (
        {f'offload_serving_request_seconds_count{{{WEB}, status="500"}}': "0+10x80"},
        {},
    ),
    "RequestsShed": (
        {f'offload_serving_shed_total{{{WEB}, limit="threads"}}': "3x76 4 4 4 4"},
        {"limit": "threads"},
    ),
    "LogLinesDropped": ({f"offload_log_lines_dropped_total{{{WEB}}}": "0x76 40 90 90 90"}, {}),
    "SpansDropped": ({f"offload_trace_spans_dropped_total{{{WORKERS}}}": "0x78 9 9"}, {}),
    "LoopBlocked": ({f"offload_guard_blocked_seconds_count{{{WEB}}}": "2x78 3 3"}, {}),
    "GarbageCollection": (
        {f'offload_guard_gc_seconds_total{{{WEB}, generation="2"}}': "0+3x80"},
        {},
    ),
    "BreakerOpen": (
        {f'offload_fanout_breaker_state{{{WEB}, upstream="bank"}}': "0x79 2"},
        {"upstream": "bank"},
    ),
    "WorkersDown": ({f"up{{{WORKERS}}}": "1x60 0x20"}, {"instance": "b", "job": "workers"}),
    "NoWorker": ({f"offload_jobs_workers{{{WEB}}}": "2x74 0x5"}, {}),
    "BrokerGone": (
        {f"offload_jobs_processes_without_broker{{{WEB}}}": "0x76 1x3"},
        {"job": "web"},
    ),
    "QueueOld": (
        {f'offload_jobs_oldest_seconds{{{WEB}, queue="cpu"}}': "20x79 310"},
        {"queue": "cpu"},
    ),
    "JobsLost": (
        {f'offload_jobs_lost_total{{{WORKERS}, kind="risk"}}': "1x78 2 2"},
        {"kind": "risk"},
    ),
    "JobsFail": (
        {f'offload_jobs_ended_total{{{WORKERS}, kind="risk", status="failed"}}': "0+1x80"},
        {"kind": "risk"},
    ),
    "JobsUnserved": (
        {f'offload_jobs_unserved{{{WEB}, kind="risk", queue="cpu"}}': "5x80"},
        {"queue": "cpu", "kind": "risk"},
    ),
    "QueueUnread": (
        {f'offload_jobs_unread{{{WEB}, queue="cpu"}}': "0x70 3x9"},
        {"queue": "cpu"},
    ),
    "StatsOld": ({f"offload_jobs_stats_timestamp_seconds{{{WEB}}}": "0+15x60 900x20"}, {}),
}
# What is otherwise in a deploy, or in a restart of Redis, where nobody has to get up.
PEACE = {
    # The old workers have ended before the new ones begin.
    "workers are replaced": {f"offload_jobs_workers{{{WEB}}}": "2x77 0x2"},
    # The gauges of a process begin at 0.
    "a web process begins": {
        f"offload_jobs_workers{{{WEB}}}": "2x79 0",
        f"offload_jobs_stats_timestamp_seconds{{{WEB}}}": "0+15x79 0",
    },
    "Redis is restarted": {f"offload_jobs_processes_without_broker{{{WEB}}}": "0x79 1"},
    "a worker starts from zero": {f'offload_jobs_unread{{{WEB}, queue="cpu"}}': "0x74 3x5"},
}
# Prometheus that finds targets by names or by pods knows none where no process runs.
NO_TARGET = {f"up{{{WEB}}}": "1x70 stale"}


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("REQUIRE_PROMETHEUS"):
            pytest.fail("REQUIRE_PROMETHEUS is set and there is no promtool on this machine")
        pytest.skip("NO PROMTOOL ON THIS MACHINE: the alarms were not tried")
    return found


def as_test(name: str, changed: dict[str, str], firing: dict[str, dict[str, str]]) -> Any:
    """A test of promtool: these figures, and after 20 minutes these alarms and no others."""
    rules = {rule["alert"]: rule for rule in RULE_LIST}
    return {
        "name": name,
        "interval": "15s",
        "input_series": [
            {"series": series, "values": values} for series, values in (HEALTHY | changed).items()
        ],
        "alert_rule_test": [
            {
                "eval_time": "20m",
                "alertname": alarm,
                "exp_alerts": [
                    {
                        "exp_labels": rules[alarm]["labels"] | firing[alarm],
                        "exp_annotations": rules[alarm]["annotations"],
                    }
                ]
                if alarm in firing
                else [],
            }
            for alarm in rules
        ],
    }


def test_each_alarm_fires_in_its_fault_and_no_other_one_does(tmp_path: Path) -> None:
    assert set(FAULTS) == {rule["alert"] for rule in RULE_LIST}
    tests = [as_test("healthy", {}, {})]
    tests += [as_test(name, series, {name: labels}) for name, (series, labels) in FAULTS.items()]
    tests.append(as_test("no web process", NO_TARGET, {"WebDown": {"job": "web"}}))
    run_rules(tmp_path, tests)


def test_no_alarm_fires_in_a_deploy(tmp_path: Path) -> None:
    run_rules(tmp_path, [as_test(name, series, {}) for name, series in PEACE.items()])


def run_rules(folder: Path, tests: list[Any]) -> None:
    """Run these tests of promtool."""
    tool = promtool()
    file = folder / "tests.json"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}
    file.write_text(json.dumps(document))
    told = subprocess.run(
        [tool, "test", "rules", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda rule: rule["alert"])
def test_each_alarm_has_a_section_and_metrics_that_there_are(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (\w+)$", (PROJECT / page).read_text(), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()
    assert len(headings) == len(RULE_LIST)
    metrics = (PROJECT / "docs" / "reference" / "metrics.md").read_text()
    for name in re.findall(r"offload_\w+", rule["expr"]):
        assert f"| `{name.removesuffix('_count')}` |" in metrics, name


@pytest.mark.parametrize(
    "file", sorted(RULES.parent.glob("dashboards/*.json")), ids=lambda f: f.stem
)
def test_each_panel_asks_for_metrics_that_there_are(file: Path) -> None:
    document = json.loads(file.read_text())
    assert document["uid"] == f"offload-{file.stem}"
    known = (PROJECT / "docs" / "reference" / "metrics.md").read_text()
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel["targets"]:
            names = re.findall(r"offload_\w+", target["expr"])
            assert names
            for name in names:
                assert f"| `{re.sub('_(bucket|count|sum)$', '', name)}` |" in known, name
