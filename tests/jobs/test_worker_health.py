"""A worker's sign of life, and the probe that reads it."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import ROOT, Lab

PROBE = ROOT / "{{cookiecutter.project_slug}}" / "offload" / "jobs" / "worker" / "health.py"


def probe(file: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"WORKER_LIFE_FILE": str(file)}
    return subprocess.run(
        [sys.executable, PROBE], env=environment, capture_output=True, text=True, check=False
    )


def test_a_frozen_worker_and_a_killed_one_give_no_sign(lab: Lab) -> None:
    file = lab.folder / "run" / "alive"
    assert "is not there" in probe(file).stderr
    # Without a broker: a restart of the worker would not bring that one back.
    worker = lab.worker(wait=False, WORKER_LIFE_FILE=str(file))
    lab.until(lambda: probe(file).returncode == 0, "the first sign")

    lab.kill("worker", signal.SIGSTOP)
    # As after 20 s without a sign.
    os.utime(file, (time.time() - 20, time.time() - 20))
    frozen = probe(file)
    assert frozen.returncode == 1
    assert "last sign of life is 20 s old" in frozen.stderr
    lab.kill("worker", signal.SIGCONT)
    lab.until(lambda: probe(file).returncode == 0, "a sign of the worker that goes on")

    lab.kill("worker")
    assert worker.returncode == -signal.SIGKILL
    os.utime(file, (time.time() - 20, time.time() - 20))
    assert probe(file).returncode == 1


def test_a_worker_that_ends_in_order_removes_its_sign(lab: Lab) -> None:
    file = lab.folder / "alive"
    lab.redis()
    worker = lab.worker(WORKER_LIFE_FILE=str(file))
    lab.until(file.exists, "the first sign")
    # The broker goes, and comes back.
    lab.kill("redis")
    before = file.stat().st_mtime
    lab.until(lambda: file.stat().st_mtime > before + 3, "signs without a broker")
    lab.redis()
    worker.terminate()
    assert worker.wait(60) == 0
    assert not file.exists()


def test_a_loop_that_hangs_ends_the_signs_and_a_shutdown_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.worker import sign_of_life

    monkeypatch.setattr(sign_of_life, "SIGN_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(sign_of_life.MainLoop, "silence", lambda _: 31.0)
    stopping: list[bool] = []
    file = tmp_path / "alive"
    life = sign_of_life.SignOfLife(file, sign_of_life.MainLoop(), lambda: bool(stopping))
    life.start()
    time.sleep(0.3)
    assert not file.exists()
    stopping.append(True)
    deadline = time.monotonic() + 20
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert file.exists()
    monkeypatch.setattr(sign_of_life, "SIGN_INTERVAL_SECONDS", 20.0)
    life.end()
    assert not file.exists()


def test_the_probe_imports_nothing_that_takes_time() -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(PROBE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    # Python has loaded them before.
    assert imported == {"os", "sys", "time"}
    environment = {name: value for name, value in os.environ.items() if name != "WORKER_LIFE_FILE"}
    told = subprocess.run(
        [sys.executable, PROBE], env=environment, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (
        1,
        "WORKER_LIFE_FILE is not set: set it for the worker and for its probe\n",
    )
