"""`roll-out` against a stand-in for the cluster."""

import os
import stat
from pathlib import Path

import pytest

from template.conftest import run

from .manifests import Documents, containers, of_kind, pods

# Stands in for the cluster: it notes how it is called, and fails where it is told to. There a `$`
# stands for the end of a call.
KUBECTL = """#!/bin/sh
echo "$*" >> calls
case "$*\\$" in *"$FAILS"*) [ -z "$FAILS" ] || exit 1;; esac
"""
# A part of each command, in their order.
STEPS = (
    "delete job migrate",
    "step=first",
    "wait job/migrate",
    "--selector step=workers",
    "rollout status deployment --selector step=workers",
    "overlays/",
    "rollout status deployment/web",
)
# A part of the command that fails, what the operator is told, and the step that is the last one.
FAILURES = {
    "delete job migrate": ("The old version goes on. Run this again.", 0),
    "step=first": ("The old version goes on. Repair what kubectl says, and run this again.", 1),
    "condition=complete": ("the migrations failed. The old version goes on.", 2),
    "wait job/migrate": ("the migrations did not end within 0 s, and may still run.", 2),
    "overlays/production --selector step=workers": ("the workers were not replaced.", 3),
    "rollout status deployment --selector": ("new workers do not start. The old ones", 4),
    "overlays/production$": ("the workers are new, and web processes may be old.", 5),
    "rollout status deployment/web": ("new web processes do not get ready. The old ones", 6),
}


def roll_out(chosen: Path, folder: Path, overlay: str, fails: str = "") -> tuple[int, str]:
    """Run it; its exit code, and what it prints. The calls are in the folder's file `calls`."""
    kubectl = folder / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    (folder / "calls").unlink(missing_ok=True)
    ran = run(
        *("env", f"PATH={folder}:{os.environ['PATH']}", f"FAILS={fails}"),
        *("MIGRATE_TIMEOUT_SECONDS=0", chosen / "deploy/kubernetes/roll-out", overlay),
        cwd=folder,
    )
    return ran.returncode, ran.stdout


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def of_step(documents: Documents, step: str) -> set[tuple[str, str]]:
    """The kinds and names of what a step applies; a ConfigMap without the hash of its values."""
    return {
        (each["kind"], each["metadata"]["name"].partition("-")[0])
        if each["kind"] == "ConfigMap"
        else (each["kind"], each["metadata"]["name"])
        for each in documents
        if each["metadata"].get("labels", {}).get("step") == step
    }


def test_a_roll_out_migrates_before_it_replaces_anything(
    chosen: Path, documents: Documents, overlay: str, tmp_path: Path
) -> None:
    (namespace,) = of_kind(documents, "Namespace")
    name = namespace["metadata"]["name"]
    assert roll_out(chosen, tmp_path, overlay)[0] == 0
    called = calls(tmp_path)
    assert len(called) == len(STEPS)
    for call, step in zip(called, STEPS, strict=True):
        assert step in call
    assert called[-2].endswith(f"overlays/{overlay}"), "everything comes last"
    for call in called:
        assert f"--namespace {name}" in call or "apply" in call
    # The Job of the migrations before may still run.
    assert "--cascade=foreground" in called[0]
    assert of_step(documents, "first") == {
        ("Namespace", name),
        ("ConfigMap", "settings"),
        ("PersistentVolumeClaim", "media"),
        ("Job", "migrate"),
    }
    workers = {name for name in pods(documents) if name.startswith("worker-")}
    assert of_step(documents, "workers") == {("Deployment", name) for name in workers}


def test_what_workers_need_is_there_before_them(documents: Documents) -> None:
    first = of_step(documents, "first")
    for _, worker in of_step(documents, "workers"):
        for volume in pods(documents)[worker]["spec"]["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in first
        for source in containers(documents)[worker]["envFrom"]:
            if settings := source.get("configMapRef"):
                assert ("ConfigMap", settings["name"].partition("-")[0]) in first


@pytest.mark.parametrize("fails", FAILURES)
def test_a_step_that_fails_ends_a_roll_out_which_can_be_run_again(
    chosen: Path, tmp_path: Path, fails: str
) -> None:
    told, last = FAILURES[fails]
    status, printed = roll_out(chosen, tmp_path, "production", fails)
    assert status == 1
    assert "roll-out has stopped: " in printed
    assert told in printed, printed
    called = [call for call in calls(tmp_path) if " logs " not in call]
    assert STEPS[last] in called[-1]
    assert roll_out(chosen, tmp_path, "production")[0] == 0


def test_a_migration_that_fails_ends_a_roll_out(chosen: Path, tmp_path: Path) -> None:
    status, _ = roll_out(chosen, tmp_path, "production", fails="condition=complete")
    assert status == 1
    called = calls(tmp_path)
    assert [call for call in called if " apply " in f" {call} "][1:] == []
    assert "logs job/migrate" in called[-1]
