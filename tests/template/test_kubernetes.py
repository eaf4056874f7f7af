"""The manifests of `deployment=kubernetes`: they fit Kubernetes, the code, and one another.

`KUBERNETES` names the folder of the programs of requirements/kubernetes.txt. KEDA's queries run in
tests/jobs/test_scaling.py.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import BIN, bake, run
from .pages import PROJECT, blocks

OVERLAYS = ("staging", "production")
# The oldest that the page names, and the newest whose schemas there are.
VERSIONS = ("1.29", "1.37")
# Whose schemas kubernetes-validate does not have.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "PodMonitor"}
# The pages for all services say what a cluster needs.
TRACES = re.compile(r"kustom|ScaledObject|\bKEDA\b|keda\.sh|PodMonitor|kubernetes\.md")
ALLOWED = {"docs/changelog.md"}
# Python in the generated project, with its settings.
FACTS = """
import json, sys
import django
django.setup()
from django.urls import resolve
from config.celery import app
from config.env import Env
from offload.conf import Offload
from offload.jobs.worker import health, shutdown
from offload.observe.span_queue import SENT_AFTER_SECONDS
from offload.serving import __main__ as serving
from offload.serving.application import CLEANUP_TIMEOUT_SECONDS
sys.argv = ["serving", *sys.argv[1:]]
stop = serving._arguments()
print(json.dumps({
    "queues": [queue.name for queue in app.conf.task_queues],
    "names": [name.upper() for name in Env.model_fields],
    "probes": [resolve(f"/health/{name}").func.__name__ for name in ("live", "ready")],
    "port": Env.model_fields["port"].default,
    "web stops": stop.drain + stop.grace + CLEANUP_TIMEOUT_SECONDS,
    "worker stops": shutdown.LAST_STATEMENTS_SECONDS + shutdown.SPOOL_WAIT_SECONDS
        + SENT_AFTER_SECONDS,
    "life": health.MAX_AGE_SECONDS,
    "spool": Offload().spool_limit,
    "request threads": Offload().max_request_connections,
}))
"""

Documents = list[dict[str, Any]]

# Each starts Python several times; on a busy machine it has a twentieth of a core.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with manifests."""
    folder = tmp_path_factory.mktemp("kubernetes")
    made = bake(folder, deployment="kubernetes", example="no")
    assert made.returncode == 0, made.stdout
    return folder / "risk_desk"


@pytest.fixture(scope="module")
def programs() -> Path:
    folder = os.environ.get("KUBERNETES")
    if folder is None:
        if os.environ.get("REQUIRE_KUBERNETES"):
            pytest.fail("REQUIRE_KUBERNETES is set and KUBERNETES is not: the folder of kubectl")
        pytest.skip("NO KUBERNETES: nobody looked at the manifests of deploy/kubernetes")
    return Path(folder)


@pytest.fixture(scope="module")
def rendered(chosen: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what kustomize makes of each overlay."""
    folder = tmp_path_factory.mktemp("rendered")
    for overlay in OVERLAYS:
        source = chosen / "deploy/kubernetes/overlays" / overlay
        made = run(programs / "kubectl", "kustomize", source, cwd=folder)
        assert made.returncode == 0, made.stdout
        (folder / f"{overlay}.yaml").write_text(made.stdout)
    return folder


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def documents(rendered: Path, overlay: str) -> Documents:
    return list(yaml.safe_load_all((rendered / f"{overlay}.yaml").read_text()))


def of_kind(documents: Documents, *kinds: str) -> Documents:
    return [each for each in documents if each["kind"] in kinds]


def named(documents: Documents, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(documents, kind) if each["metadata"]["name"] == name)
    return found


def pods(documents: Documents) -> dict[str, dict[str, Any]]:
    """The pod of each Deployment and Job, with its labels."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in of_kind(documents, "Deployment", "Job")
    }


def containers(documents: Documents) -> dict[str, dict[str, Any]]:
    """The one container of each pod."""
    found = {}
    for name, pod in pods(documents).items():
        (found[name],) = pod["spec"]["containers"]
    return found


def settings(documents: Documents) -> dict[str, str]:
    (found,) = of_kind(documents, "ConfigMap")
    values: dict[str, str] = found["data"]
    return values


def size(quantity: str) -> int:
    """Bytes, of Kubernetes' or Compose's notation."""
    number, unit = re.fullmatch(r"(\d+)([MG])i?", quantity).groups()  # type: ignore[union-attr]
    return int(number) * 1024 ** {"M": 2, "G": 3}[unit]


def variables(page: str, first: str) -> dict[str, str]:
    """The variables of the block of a page that begins with this name."""
    (found,) = (block.text for block in blocks(page) if block.text.startswith(f"{first}="))
    return dict(line.split("=", 1) for line in found.splitlines())


@pytest.fixture(scope="module")
def facts(chosen: Path, documents: Documents) -> dict[str, Any]:
    """The figures of the code; those of a stop with the arguments of the manifests."""
    arguments = containers(documents)["web"]["command"][3:]
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR"}
    ran = run(BIN / "python", "-c", FACTS, *arguments, cwd=chosen, **environment)
    assert ran.returncode == 0, ran.stdout
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def compose(chosen: Path) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((chosen / "compose.yaml").read_text())["services"]
    return services


def traces(project: Path) -> set[str]:
    """The files with a trace of Kubernetes, also in their names."""
    found = set()
    for path in project.rglob("*"):
        name = str(path.relative_to(project))
        if path.is_dir() or "cache" in name or name.startswith(("var/", ".git/")):
            continue
        if TRACES.search(f"{name}\n{path.read_text(encoding='utf-8', errors='replace')}"):
            found.add(name)
    return found - ALLOWED


def test_without_kubernetes_there_is_no_trace_of_it(with_example: Path, chosen: Path) -> None:
    assert not traces(with_example)
    assert not (with_example / "deploy/kubernetes").exists()
    # compose.yaml is there in any case: it tries the image on one host.
    assert (chosen / "compose.yaml").exists()
    there = {"docs/kubernetes.md", "docs/README.md", "deploy/kubernetes/base/kustomization.yaml"}
    assert there <= traces(chosen), "what is looked for is there where it was chosen"


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_manifests(
    programs: Path, rendered: Path, overlay: str, version: str, tmp_path: Path
) -> None:
    command = (programs / "kubernetes-validate", "--strict", "--kubernetes-version", version)
    text = (rendered / f"{overlay}.yaml").read_text()
    checked = run(*command, rendered / f"{overlay}.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    unknown = re.findall(r"Couldn't find schema for kind (\w+)", checked.stdout)
    assert set(unknown) == FOREIGN
    assert checked.stdout.count(" passed for resource ") == text.count("\nkind: ") - len(unknown)

    (tmp_path / "wrong.yaml").write_text(text.replace("readinessProbe:", "readynessProbe:"))
    assert run(*command, "wrong.yaml", cwd=tmp_path).returncode != 0


def test_keda_and_prometheus_are_told_what_they_know(documents: Documents) -> None:
    """As their definitions say: these objects were held against those of August 2026 once."""
    for each in of_kind(documents, "ScaledObject"):
        assert each["apiVersion"] == "keda.sh/v1alpha1"
        spec = each["spec"]
        known = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval"}
        assert set(spec) == known | {"advanced", "triggers"}
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            assert set(trigger) - {"metricType"} == {
                *("type", "name", "authenticationRef", "metadata")
            }
            assert trigger["type"] == "postgresql"
            assert set(trigger["metadata"]) == {"targetQueryValue", "query"}
            assert trigger["authenticationRef"] == {"name": "scaler"}
    (authentication,) = of_kind(documents, "TriggerAuthentication")
    assert authentication["metadata"]["name"] == "scaler"
    references = authentication["spec"]["secretTargetRef"]
    assert {each["name"] for each in references} == {"scaler"}
    asked = {each["parameter"] for each in references}
    assert asked == {each["key"] for each in references} == set(variables("kubernetes.md", "host"))
    for each in of_kind(documents, "PodMonitor"):
        assert each["apiVersion"] == "monitoring.coreos.com/v1"
        assert set(each["spec"]) == {"selector", "podMetricsEndpoints"}


def test_a_pod_can_do_nothing_but_its_work(documents: Documents, chosen: Path) -> None:
    dockerfile = (chosen / "Dockerfile").read_text()
    (user,) = set(re.findall(r"--uid (\d+)|^USER (\d+):", dockerfile, re.MULTILINE)[0]) - {""}
    (volume,) = re.findall(r"^VOLUME (\S+)", dockerfile, re.MULTILINE)
    for name, pod in pods(documents).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        rights = spec["securityContext"]
        assert rights["runAsNonRoot"] is True
        assert {rights[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {int(user)}
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
        container = containers(documents)[name]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        assert {"/tmp", volume} <= set(mounts)
        assert set(mounts.values()) == {each["name"] for each in spec["volumes"]}
    assert not of_kind(documents, "Secret")
    (namespace,) = of_kind(documents, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    names = {each["metadata"].get("namespace") for each in documents} - {None}
    assert names == {namespace["metadata"]["name"]}


def test_the_commands_are_those_of_the_procfile(
    documents: Documents, chosen: Path, compose: dict[str, Any]
) -> None:
    lines = (chosen / "Procfile").read_text().splitlines()
    roles = dict(line.split(": exec ") for line in lines)
    found = {name: " ".join(each["command"]) for name, each in containers(documents).items()}
    assert found.pop("web").startswith(f"{roles['web']} --drain ")
    assert found == {
        "worker-cpu": roles["cpu"],
        "worker-default": roles["default"],
        "flower": roles["flower"],
        "migrate": " ".join(compose["migrate"]["command"]),
    }


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


def test_a_stop_has_the_time_that_it_needs(
    documents: Documents, facts: dict[str, Any], compose: dict[str, Any]
) -> None:
    grace = {
        name: pod["spec"].get("terminationGracePeriodSeconds", 30)
        for name, pod in pods(documents).items()
    }
    assert grace["web"] > facts["web stops"]
    for queue in facts["queues"]:
        needed = float(settings(documents)["WORKER_GRACE"]) + facts["worker stops"]
        assert grace[f"worker-{queue}"] > needed
    # Flower and migrations: as in compose.yaml.
    assert {grace["flower"], grace["migrate"]} == {30}
    assert compose["flower"]["stop_grace_period"] == "30s"


def test_ports_and_probes_are_those_of_the_code(
    documents: Documents, facts: dict[str, Any], compose: dict[str, Any]
) -> None:
    web = containers(documents)["web"]
    assert web["ports"] == [{"name": "http", "containerPort": facts["port"]}]
    probes = {name: web[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {each["port"] for each in probes.values()} == {"http"}
    assert (probes["startup"]["path"], probes["liveness"]["path"]) == ("/health/live",) * 2
    assert probes["readiness"]["path"] == "/health/ready"
    assert facts["probes"] == ["live", "ready"]
    for queue in facts["queues"]:
        worker = containers(documents)[f"worker-{queue}"]
        assert worker["ports"][0]["containerPort"] == int(
            settings(documents)["WORKER_METRICS_PORT"]
        )
        for name in ("startup", "liveness"):
            assert (
                worker[f"{name}Probe"]["exec"]["command"]
                == compose[queue]["healthcheck"]["test"][1:]
            )
        probe = worker["livenessProbe"]
        assert probe["failureThreshold"] * probe["periodSeconds"] > facts["life"]


def test_sizes_are_those_of_compose(
    documents: Documents, facts: dict[str, Any], compose: dict[str, Any]
) -> None:
    def service(name: str) -> str:
        return name.removeprefix("worker-")

    for name, container in containers(documents).items():
        limits = container["resources"]["limits"]
        declared = compose[service(name)]
        expected = declared.get("deploy", compose["migrate"]["deploy"])["resources"]["limits"]
        assert float(limits["cpu"]) == float(expected["cpus"]), name
        assert size(limits["memory"]) == size(expected["memory"]), name
        # Memory that is promised twice would kill somebody.
        assert container["resources"]["requests"]["memory"] == limits["memory"], name
        volumes = {each["name"]: each for each in pods(documents)[name]["spec"]["volumes"]}
        assert size(volumes["var"]["emptyDir"]["sizeLimit"]) > facts["spool"]


def test_the_service_starts_with_these_variables_and_no_others(
    documents: Documents, facts: dict[str, Any], chosen: Path
) -> None:
    secrets = variables("kubernetes.md", "SECRET_KEY")
    own = {
        each["name"]: each["value"]
        for container in containers(documents).values()
        for each in container.get("env", [])
    }
    assert set(own) == {"PROMETHEUS_MULTIPROC_DIR"}
    for container in containers(documents).values():
        assert {
            each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each
        } == {"service"}
    assert {*secrets, *settings(documents), *own} <= set(facts["names"])
    filled = {
        name: re.sub(r"<.*?>", "0123456789abcdefghij" * 3, value) for name, value in secrets.items()
    }
    # As the image has it.
    image = {"HOST": "0.0.0.0"}
    command = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    checked = run(BIN / "python", *command, cwd=chosen, **image, **filled, **settings(documents))
    assert checked.returncode == 0, checked.stdout
    (ingress,) = of_kind(documents, "Ingress")
    (rule,), (tls,) = ingress["spec"]["rules"], ingress["spec"]["tls"]
    assert rule["host"] == settings(documents)["ALLOWED_HOSTS"] == tls["hosts"][0]


def selected(labels: dict[str, str], selector: dict[str, Any]) -> bool:
    rules = selector.get("matchExpressions", [])
    assert all(rule["operator"] == "NotIn" for rule in rules)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(rule["key"]) not in rule["values"] for rule in rules
    )


def selectors(documents: Documents) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The name of each object that selects pods, its selector, and its kind."""
    for each in documents:
        spec = each.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if each["kind"] == "Service":
            selector = {"matchLabels": selector}
        if selector is not None:
            yield each["metadata"]["name"], selector, each["kind"]


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
    web = 2 + 2 * facts["request threads"]
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


# Stands in for the cluster: it notes how it is called, and fails where it is told to.
KUBECTL = """#!/bin/sh
echo "$*" >> calls
case "$*" in *"$FAILS"*) [ -z "$FAILS" ] || exit 1;; esac
"""
STEPS = ("delete job migrate", "step=first", "wait job/migrate", "step=workers", "worker-cpu")


def roll_out(chosen: Path, folder: Path, overlay: str, fails: str = "") -> tuple[int, list[str]]:
    kubectl = folder / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    ran = run(
        *("env", f"PATH={folder}:{os.environ['PATH']}", f"FAILS={fails}"),
        *(chosen / "deploy/kubernetes/roll-out", overlay),
        cwd=folder,
    )
    return ran.returncode, (folder / "calls").read_text().splitlines()


def test_a_roll_out_migrates_before_it_replaces_anything(
    chosen: Path, documents: Documents, overlay: str, tmp_path: Path
) -> None:
    (namespace,) = of_kind(documents, "Namespace")
    status, calls = roll_out(chosen, tmp_path, overlay)
    assert status == 0
    for call, step in zip(calls, STEPS, strict=False):
        assert step in call
    assert calls[-2].endswith(f"overlays/{overlay}"), "everything comes last"
    for call in calls:
        assert f"--namespace {namespace['metadata']['name']}" in call or "apply" in call
    first = {
        (each["kind"], each["metadata"]["name"].partition("-")[0])
        for each in documents
        if each["metadata"].get("labels", {}).get("step") == "first"
    }
    assert first == {
        ("Namespace", namespace["metadata"]["name"].partition("-")[0]),
        ("ConfigMap", "settings"),
        ("Job", "migrate"),
    }
    workers = {
        each["metadata"]["name"]
        for each in documents
        if each["metadata"].get("labels", {}).get("step") == "workers"
    }
    assert all(any(f"deployment/{name}" in call for call in calls) for name in workers)
    assert workers == {name for name in pods(documents) if name.startswith("worker-")}


def test_a_migration_that_fails_ends_a_roll_out(chosen: Path, tmp_path: Path) -> None:
    status, calls = roll_out(chosen, tmp_path, "production", fails="wait job/migrate")
    assert status == 1
    assert [call for call in calls if " apply " in f" {call} "][1:] == []
    assert "logs job/migrate" in calls[-1]
