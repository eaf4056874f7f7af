"""Each pod runs what the code and the image have, with the rights and sizes that it needs."""

import re
from pathlib import Path
from typing import Any

from template.conftest import BIN, run

from .manifests import Documents, containers, of_kind, pods, settings, size, variables


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
