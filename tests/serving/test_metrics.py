"""The metrics: few series whoever asks, and a page that costs the event loop nothing."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from conftest import SERVICE, Server
from django.test import RequestFactory, override_settings

from offload.conf import Offload
from offload.serving.scrape import Scrape

# Some of those that the parser of HTTP lets through.
ODD_METHODS = ("PROPFIND", "MKCOL", "COPY", "LOCK", "MOVE", "SEARCH", "REPORT", "PURGE", "NOTIFY")


def test_methods_and_paths_of_strangers_make_no_series(server: Server) -> None:
    before = server.get("/metrics").text.count("\n")
    with httpx.Client(base_url=server.url) as client:
        for method in ODD_METHODS:
            client.request(method, f"/api/stranger/{method.lower()}")
            client.request(method, "/api/ping")
            client.get(f"/stranger/{method.lower()}")
    text = server.get("/metrics").text
    assert 'method="_OTHER"' in text
    assert not any(method in text for method in ODD_METHODS)
    assert "stranger" not in text
    # A histogram has some 18 lines for each of at most 4 new series.
    assert text.count("\n") - before < 4 * 20


async def test_scrapes_are_made_in_a_thread_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_by: list[threading.Thread] = []

    def generate() -> bytes:
        made_by.append(threading.current_thread())
        time.sleep(0.05)
        return b"series"

    monkeypatch.setattr("offload.serving.scrape.make_text", generate)
    scrape, request = Scrape(), RequestFactory().get("/metrics")
    cancelled = asyncio.create_task(scrape.answer(request))
    await asyncio.sleep(0)
    cancelled.cancel()
    answers = await asyncio.gather(*(scrape.answer(request) for _ in range(20)))
    assert {answer.content for answer in answers} == {b"series"}
    assert len(made_by) == 1
    assert made_by[0] is not threading.main_thread()

    monkeypatch.setattr("offload.serving.scrape.TEXT_LIFETIME_SECONDS", 0.0)
    await scrape.answer(request)
    assert len(made_by) == 2


async def test_with_a_token_only_its_owner_reads_the_metrics() -> None:
    with override_settings(OFFLOAD=Offload(metrics_token="s3cret")):
        statuses = [
            (await Scrape().answer(RequestFactory().get("/metrics", headers=headers))).status_code
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Bearer s3cret"},
            )
        ]
    assert statuses == [401, 401, 200]


COUNT = """
import os, sys, time
from offload.observe import Counter, Gauge
from offload.observe.exposition import make_text
sent = Counter("sent_total", "What was sent.", ["kind"])
open_ = Gauge("open", "What is open.", multiprocess_mode="livesum")
def count(kind, number):
    sent.labels(kind).inc(number)
    open_.inc(number)
count("a", 2)
if sys.argv[1] == "fork" and not os.fork():
    count("a", 5)
    os.kill(os.getpid(), 9)
if sys.argv[1] == "fork":
    os.wait()
if sys.argv[1] == "read":
    print(make_text().decode())
else:
    print("counted", flush=True)
    time.sleep(60)
"""


def run_counting(folder: Path, mode: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, mode],
        env=os.environ | {"PYTHONPATH": str(SERVICE), "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_goes_on_in_the_files_of_a_dead_one(tmp_path: Path) -> None:
    """Four times: two processes count, one of them in a child that is killed; then both are."""
    for turn in range(1, 5):
        processes = [run_counting(tmp_path, "wait"), run_counting(tmp_path, "fork")]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "counted\n"
        page = run_counting(tmp_path, "read").communicate(timeout=60)[0]
        # Each turn adds 2, 2 and 5, and the reader 2.
        assert f'sent_total{{kind="a"}} {11.0 * turn}' in page
        # The child is dead: its gauge is gone.
        assert "open 6.0" in page
        for process in processes:
            process.kill()
            process.communicate()
    # Two processes, the child and the reader.
    assert len(list(tmp_path.glob("counter_*.db"))) <= 4


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(SERVICE)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    command = [sys.executable, "-c", COUNT, "read"]
    page = subprocess.check_output(command, env=environment, cwd=tmp_path, text=True)
    assert 'sent_total{kind="a"} 2.0' in page
    assert list(tmp_path.iterdir()) == []
