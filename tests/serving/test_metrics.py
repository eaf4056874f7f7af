"""The metrics: few series whoever asks, and a page that costs the event loop nothing."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

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
import os, shutil, sys, threading, time
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
if sys.argv[1] == "remove_and_fork":
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    if not os.fork():
        count("a", 5)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
if sys.argv[1] == "fork_beside_scrape":
    from offload.observe import process_files
    at_it = threading.Event()
    def remove(number):
        at_it.set()
        time.sleep(0.5)
    process_files.mark_process_dead = remove
    (process_files.folder() / "7.lock").touch()
    threading.Thread(target=process_files.remove_gauges_of_the_dead).start()
    at_it.wait()
    if not os.fork():
        handles = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(3, 20)
                   if os.path.exists(f"/proc/self/fd/{fd}")]
        inherited = [name for name in handles if name.endswith("7.lock")]
        print("inherited", inherited) if inherited else print("nothing inherited", flush=True)
        os._exit(0)
    os.wait()
elif "read" in sys.argv[1] or sys.argv[1] == "remove_and_fork":
    print(make_text().decode())
else:
    print("counted", flush=True)
    time.sleep(60)
"""


def run_counting(folder: Path, mode: str, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, mode],
        env=os.environ | {"PYTHONPATH": str(SERVICE), "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        **options,
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


def text_of(folder: Path) -> str:
    return run_counting(folder, "read").communicate(timeout=60)[0]


# What a power cut, a full disk or another version of prometheus_client may leave.
DAMAGED = {
    "empty": b"",
    "cut_off": b"abc",
    "too_long": b"\xff\xff\xff\x7f" + bytes(65532),
    "negative": b"\xff\xff\xff\xff" + bytes(65532),
    "other_format": b"\x40\0\0\0\0\0\0\0" + b"\x0c\0\0\0{nonsense}  " + bytes(40),
    "other_key": b"\x28\0\0\0\0\0\0\0" + b"\x0c\0\0\0[1,2,3]     " + bytes(40),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_takes_no_other_figure_along_and_no_new_process(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "counter_7.db").write_bytes(data)
    assert 'sent_total{kind="a"} 2.0' in text_of(tmp_path)

    # The next process would go on in it.
    (tmp_path / "counter_0.db").write_bytes(data)
    assert 'sent_total{kind="a"} 2.0' in text_of(tmp_path)
    assert 'sent_total{kind="a"} 4.0' in text_of(tmp_path)


def test_a_removed_folder_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    process = run_counting(folder, "remove_and_fork")
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 0, text
    # Those of the child. The parent counts in the files that were removed.
    assert 'sent_total{kind="a"} 5.0' in text


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.touch()
    process = run_counting(folder, "read", stderr=subprocess.PIPE)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert f"The metrics cannot be counted in {folder} (File exists): name a folder" in told
    assert "Traceback" not in told


def test_no_process_is_forked_while_another_thread_holds_a_dead_ones_number(
    tmp_path: Path,
) -> None:
    process = run_counting(tmp_path, "fork_beside_scrape", stderr=subprocess.PIPE)
    assert process.communicate(timeout=60) == ("nothing inherited\n", "")
