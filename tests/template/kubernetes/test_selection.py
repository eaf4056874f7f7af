"""Who finds whom: autoscalers, budgets, network policies and Prometheus."""

import re
from pathlib import Path
from typing import Any

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


def test_prometheus_finds_the_jobs_of_the_alarms(documents: Documents, chosen: Path) -> None:
    alarms = (chosen / "deploy/monitoring/alarms.yml").read_text()
    monitors = of_kind(documents, "PodMonitor")
    assert {each["metadata"]["name"] for each in monitors} == set(
        re.findall(r'job="(\w+)"', alarms)
    )
    for each in monitors:
        (endpoint,) = each["spec"]["podMetricsEndpoints"]
        assert endpoint["relabelings"] == [
            {"targetLabel": "job", "replacement": each["metadata"]["name"]}
        ]
        assert endpoint["authorization"]["credentials"] == {
            "name": "service",
            "key": "METRICS_TOKEN",
        }
        for name, pod in pods(documents).items():
            if selected(pod["metadata"]["labels"], each["spec"]["selector"]):
                ports = {port["name"] for port in containers(documents)[name]["ports"]}
                assert endpoint["port"] in ports
    (old,) = re.findall(r"offload_jobs_oldest_seconds\) > (\d+)", alarms)
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
