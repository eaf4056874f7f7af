"""Kubernetes takes the manifests, and a service without them has no trace of them."""

import re
from pathlib import Path

import pytest

from template.conftest import run

from .manifests import Documents, of_kind, variables

# The oldest that the page names, and the newest whose schemas there are.
VERSIONS = ("1.29", "1.37")
# Whose schemas kubernetes-validate does not have.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
# The pages for all services say what a cluster needs.
TRACES = re.compile(r"kustom|ScaledObject|\bKEDA\b|keda\.sh|PodMonitor|kubernetes\.md")
ALLOWED = {"docs/changelog.md"}


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
    assert set(unknown) == FOREIGN - ({"PrometheusRule"} if overlay == "staging" else set())
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
