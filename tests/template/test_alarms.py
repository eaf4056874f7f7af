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
from alarm_rules import RULES, rules_of

from .conftest import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"


def rule_list(slug: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(rules_of(slug))["groups"] for rule in group["rules"]]


RULE_LIST = rule_list("desk")
WEB, WORKERS = 'instance="a", job="desk-web"', 'instance="b", job="desk-workers"'
OK = f'offload_serving_request_seconds_count{{{WEB}, status="200"}}'
# A value each 15 s, for 20 minutes: `a+bxn` begins at a and adds b n times.
HEALTHY = {
    f"up{{{WEB}}}": "1x80",
    f"up{{{WORKERS}}}": "1x80",
    f"process_start_time_seconds{{{WEB}}}": "100x80",
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
    "WebDown": ({f"up{{{WEB}}}": "1x60 0x20"}, {"instance": "a", "job": "desk-web"}),
    "WebRestarts": (
        {f"process_start_time_seconds{{{WEB}}}": "100x60 950x4 1010x4 1070x12"},
        {"instance": "a", "job": "desk-web"},
    ),
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
        {"instance": "a"},
    ),
    "BreakerOpen": (
        {
            f'offload_fanout_breaker_state{{{WEB}, upstream="bank"}}': "0x79 2",
            f'offload_fanout_outcomes_total{{{WEB}, upstream="bank", status="open"}}': "0x78 0 9",
        },
        {"upstream": "bank"},
    ),
    "WorkersDown": ({f"up{{{WORKERS}}}": "1x60 0x20"}, {"instance": "b", "job": "desk-workers"}),
    "NoWorker": ({f"offload_jobs_workers{{{WEB}}}": "2x74 0x5"}, {}),
    "BrokerGone": (
        {f"offload_jobs_processes_without_broker{{{WEB}}}": "0x76 1x3"},
        {"job": "desk-web"},
    ),
    "QueueOld": (
        {f'offload_jobs_oldest_seconds{{{WEB}, queue="cpu"}}': "20x79 310"},
        {"queue": "cpu"},
    ),
    "QueueRefuses": (
        {f'offload_jobs_oldest_seconds{{{WEB}, queue="cpu"}}': "20x70 310x8 1850"},
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
# An alarm that fires beside another one, which fired before.
BEFORE = {"QueueRefuses": "QueueOld"}
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
# What is otherwise where nobody has to get up at night.
QUIET = {
    "two deploys in a quarter of an hour": {
        f"process_start_time_seconds{{{WEB}}}": "100x60 950x10 1090x10",
    },
    "a breaker is open that nobody asks": {
        f'offload_fanout_breaker_state{{{WEB}, upstream="bank"}}': "0x9 2x70",
        f'offload_fanout_outcomes_total{{{WEB}, upstream="bank", status="open"}}': "0x9 7x70",
    },
    "one of ten requests fails": {
        OK: "0x60 1x5 5x5 9x10",
        f'offload_serving_request_seconds_count{{{WEB}, status="500"}}': "0x70 1x10",
    },
    "nobody asks and no job comes": {
        OK: "9000x80",
        f'offload_serving_request_seconds_count{{{WEB}, status="500"}}': "90x80",
        f'offload_jobs_ended_total{{{WORKERS}, kind="risk", status="failed"}}': "7x80",
        f'offload_jobs_ended_total{{{WORKERS}, kind="risk", status="succeeded"}}': "8x80",
    },
    "the processes are replaced, and count from 0": {
        OK: "9000+100x70 0+100x10",
        f'offload_serving_shed_total{{{WEB}, limit="threads"}}': "3x70 0x10",
        f"offload_guard_blocked_seconds_count{{{WEB}}}": "2x70 0x10",
        f'offload_guard_gc_seconds_total{{{WEB}, generation="2"}}': "50+0.3x70 0+0.3x10",
        f'offload_jobs_lost_total{{{WORKERS}, kind="risk"}}': "1x70 0x10",
        f'offload_jobs_ended_total{{{WORKERS}, kind="risk", status="failed"}}': "70x70 0x10",
    },
    "four web processes collect garbage": {
        f'offload_guard_gc_seconds_total{{instance="{pod}", job="desk-web", generation="2"}}': (
            "0+0.6x80"
        )
        for pod in "acde"
    },
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


def alarms_of(fault: str) -> dict[str, dict[str, str]]:
    """The alarms of a fault, with their labels."""
    labels = FAULTS[fault][1]
    return dict.fromkeys((fault, BEFORE.get(fault, fault)), labels)


def test_each_alarm_fires_in_its_fault_and_no_other_one_does(tmp_path: Path) -> None:
    assert set(FAULTS) == {rule["alert"] for rule in RULE_LIST}
    tests = [as_test("healthy", {}, {})]
    tests += [as_test(name, series, alarms_of(name)) for name, (series, _) in FAULTS.items()]
    tests.append(as_test("no web process", NO_TARGET, {"WebDown": {"job": "desk-web"}}))
    run_rules(tmp_path, tests)


def test_no_alarm_fires_in_a_deploy_or_at_night(tmp_path: Path) -> None:
    quiet = (PEACE | QUIET).items()
    run_rules(tmp_path, [as_test(name, series, {}) for name, series in quiet])


def test_two_services_in_one_prometheus_have_alarms_of_their_own(tmp_path: Path) -> None:
    """Each fault of one service rings its alarm with its name, and none of the other one."""
    other = {series.replace("desk-", "till-"): values for series, values in HEALTHY.items()}
    tests = [as_test(name, other | series, alarms_of(name)) for name, (series, _) in FAULTS.items()]
    no_web = other | NO_TARGET
    tests.append(as_test("no web process", no_web, {"WebDown": {"job": "desk-web"}}))
    for each in tests:
        for asked in each["alert_rule_test"]:
            assert all(alert["exp_labels"]["service"] == "desk" for alert in asked["exp_alerts"])
    run_rules(tmp_path, tests, "desk", "till")


def run_rules(folder: Path, tests: list[Any], *slugs: str) -> None:
    """Run these tests of promtool with the rules of these services."""
    tool = promtool()
    for slug in slugs or ("desk",):
        (folder / f"{slug}.yml").write_text(rules_of(slug))
    file = folder / "tests.json"
    document = {"rule_files": ["*.yml"], "evaluation_interval": "15s", "tests": tests}
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


def test_the_page_names_the_alarms_that_are_critical() -> None:
    page = (PROJECT / "docs/reference/alarms.md").read_text()
    (named,) = re.findall(r"^\| act now \(`critical`\) \| (.*) \|$", page, re.MULTILINE)
    critical = [rule["alert"] for rule in RULE_LIST if rule["labels"]["severity"] == "critical"]
    assert named.split(", ") == critical


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
            # Of one service, where Prometheus knows several.
            assert target["expr"].count('{job=~"$service-(web|workers)"') == len(names)
            for name in names:
                assert f"| `{re.sub('_(bucket|count|sum)$', '', name)}` |" in known, name
