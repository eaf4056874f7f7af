"""Who finds whom: autoscalers, budgets, network policies and Prometheus."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from template.conftest import run
from template.pages import PROJECT

from .manifests import (
    Documents,
    containers,
    named,
    of_kind,
    pods,
    selected,
    selectors,
    settings,
)


def test_each_queue_has_workers_that_are_scaled_and_spread(
    documents: Documents, facts: dict[str, Any]
) -> None:
    workers = {f"worker-{queue}" for queue in facts["queues"]}
    assert {name for name in pods(documents) if name.startswith("worker-")} == workers
    for name in workers:
        queue = name.removeprefix("worker-")
        limits = containers(documents)[name]["resources"]["limits"]
        command = containers(documents)[name]["command"]
        processes = command[command.index("-c") + 1] if "-c" in command else limits["cpu"]
        scaled = named(documents, "ScaledObject", name)["spec"]
        assert scaled["scaleTargetRef"] == {"name": name}
        jobs, oldest = scaled["triggers"]
        # Each running job has its process: a queue is never scaled below what it computes.
        assert jobs["metadata"]["targetQueryValue"] == processes
        for trigger in (jobs, oldest):
            assert set(re.findall(r"queue = '(\w+)'", trigger["metadata"]["query"])) == {queue}
        spread = pods(documents)[name]["spec"]["topologySpreadConstraints"]
        assert all(each["labelSelector"]["matchLabels"] == {"app": name} for each in spread)


def test_the_queues_are_asked_in_the_same_way(documents: Documents, facts: dict[str, Any]) -> None:
    asked = {
        tuple(
            trigger["metadata"]["query"].replace(f"'{queue}'", "")
            for trigger in named(documents, "ScaledObject", f"worker-{queue}")["spec"]["triggers"]
        )
        for queue in facts["queues"]
    }
    assert len(asked) == 1


def test_what_selects_pods_finds_them(documents: Documents) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(documents).items()}
    for name, selector, kind in selectors(documents):
        found = {pod for pod in labels if selected(labels[pod], selector)}
        assert found, (kind, name)
        if kind in ("Deployment", "PodDisruptionBudget", "Service"):
            assert found == {name}
    budgets = {each["metadata"]["name"] for each in of_kind(documents, "PodDisruptionBudget")}
    assert budgets == {"web", "worker-cpu", "worker-default"}
    (scaled,) = of_kind(documents, "HorizontalPodAutoscaler")
    assert scaled["spec"]["scaleTargetRef"]["name"] == "web"
    # An autoscaler's number is not overwritten by a deploy.
    assert not any("replicas" in each["spec"] for each in of_kind(documents, "Deployment"))


def test_who_may_speak_to_whom(documents: Documents, facts: dict[str, Any]) -> None:
    """Who is reached, and at which ports; and who reaches what."""
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(documents).items()}
    reached: dict[str, set[int]] = {}
    reaches: dict[str, set[int]] = {}
    for policy in of_kind(documents, "NetworkPolicy"):
        for pod in labels:
            if selected(labels[pod], policy["spec"]["podSelector"]):
                for direction, table in (("ingress", reached), ("egress", reaches)):
                    for rule in policy["spec"].get(direction, []):
                        table.setdefault(pod, set()).update(each["port"] for each in rule["ports"])
    metrics = int(settings(documents)["WORKER_METRICS_PORT"])
    workers = ("worker-cpu", "worker-default")
    assert reached == {"web": {facts["port"]}, **{name: {metrics} for name in workers}}
    # Names, PostgreSQL, Redis.
    databases = {53, 5432, 6379}
    assert {name: ports - databases for name, ports in reaches.items()} == {
        **{name: {443} for name in ("web", *workers)},
        **{name: set() for name in ("flower", "migrate")},
    }
    assert all(databases <= ports for ports in reaches.values())
    nobody = named(documents, "NetworkPolicy", "nobody")["spec"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_production_has_the_rules_of_every_prometheus(
    documents: Documents, chosen: Path, overlay: str
) -> None:
    """The same ones, and staging has none: it has no worker where no job is."""
    found = [each["spec"] for each in of_kind(documents, "PrometheusRule")]
    rules = yaml.safe_load((chosen / "deploy/monitoring/alarms.yml").read_text())
    assert found == ([rules] if overlay == "production" else [])


def test_a_change_of_the_rules_is_taken_over_and_a_forgotten_one_is_told(
    chosen: Path, tmp_path: Path
) -> None:
    shutil.copytree(chosen, tmp_path / "changed")
    project = tmp_path / "changed"
    command = (sys.executable, "-m", "offload_dev.prometheus_rule")
    rules = project / "deploy/monitoring/alarms.yml"
    rules.write_text(rules.read_text().replace("> 300", "> 900"))
    forgotten = run(*command, "--check", cwd=project)
    assert forgotten.returncode == 1
    assert "`make alarms` writes it again" in forgotten.stdout
    assert run(*command, cwd=project).returncode == 0
    assert run(*command, "--check", cwd=project).returncode == 0
    written = (project / "deploy/kubernetes/overlays/production/alarms.yaml").read_text()
    assert yaml.safe_load(written)["spec"] == yaml.safe_load(rules.read_text())

    rules.write_text(rules.read_text().replace("risk-desk-web", "desk-web"))
    other_name = run(*command, cwd=project)
    assert other_name.returncode == 1
    assert "does not ask for the job risk-desk-web" in other_name.stdout


def test_prometheus_finds_the_jobs_of_the_alarms(
    documents: Documents, chosen: Path, overlay: str
) -> None:
    alarms = (chosen / "deploy/monitoring/alarms.yml").read_text()
    monitors = of_kind(documents, "PodMonitor")
    jobs = set()
    for each in monitors:
        (endpoint,) = each["spec"]["podMetricsEndpoints"]
        running, job = endpoint["relabelings"]
        # Not one whose image is on its way: it would be down.
        assert running == {
            "action": "keep",
            "sourceLabels": ["__meta_kubernetes_pod_phase"],
            "regex": "Running",
        }
        assert (job["targetLabel"], job["sourceLabels"]) == (
            "job",
            ["__meta_kubernetes_namespace"],
        )
        jobs.add(job["replacement"].replace("$1", each["metadata"]["namespace"]))
        assert endpoint["authorization"]["credentials"] == {
            "name": "service",
            "key": "METRICS_TOKEN",
        }
        for name, pod in pods(documents).items():
            if selected(pod["metadata"]["labels"], each["spec"]["selector"]):
                ports = {port["name"] for port in containers(documents)[name]["ports"]}
                assert endpoint["port"] in ports
    asked = set(re.findall(r'job="([\w-]+)"', alarms))
    # Else staging would ring the alarms of production.
    assert (jobs == asked) if overlay == "production" else jobs.isdisjoint(asked)
    old, _ = re.findall(r"offload_jobs_oldest_seconds.*\) > (\d+)", alarms)
    for scaled in of_kind(documents, "ScaledObject"):
        assert float(scaled["spec"]["triggers"][1]["metadata"]["targetQueryValue"]) < float(old)


def test_the_page_counts_the_connections(
    documents: Documents, facts: dict[str, Any], overlay: str
) -> None:
    # docs/production.md, "Connections of the database".
    web = 3 + 2 * facts["request threads"]
    counts = {
        "web": (named(documents, "HorizontalPodAutoscaler", "web")["spec"]["maxReplicas"], web)
    }
    for queue in facts["queues"]:
        scaled = named(documents, "ScaledObject", f"worker-{queue}")["spec"]
        processes = int(scaled["triggers"][0]["metadata"]["targetQueryValue"])
        counts[queue] = (scaled["maxReplicaCount"], 2 + processes)
    cells = [
        f"{pods} x {each}" for pods, each in (counts[name] for name in ("web", "cpu", "default"))
    ]
    together = sum(pods * each for pods, each in counts.values())
    row = f"| {overlay} | {' | '.join(cells)} | {together} | {2 * together} |"
    assert row in (PROJECT / "docs/kubernetes.md").read_text(), row
