"""`roll-out` against a stand-in for the cluster."""

import os
import stat
from pathlib import Path

from template.conftest import run

from .manifests import Documents, of_kind, pods

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
