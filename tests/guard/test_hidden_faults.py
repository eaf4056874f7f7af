"""Faults that a test hides fail it under the plugin, with the line; their right twins pass."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import nets
import pytest

SENTENCES = {
    "wrong_name_looked_up": "blocked the event loop with socket.getaddrinfo",
    "wrong_file_read_by_line": "lines_of_this_file blocked the event loop with builtins.open",
    "wrong_cache_in_memory": "blocked the event loop with LocMemCache.get",
    "wrong_mail_to_a_mailbox": "blocked the event loop with EmailBackend.send_messages",
    "wrong_eager_task": "blocked the event loop with Task.apply_async",
    "wrong_sync_client_of_a_mock": "blocked the event loop with Client.send",
    "wrong_lock_of_a_file": "blocked the event loop with fcntl.flock",
    "wrong_task_before_the_commit": "publishes before the transaction commits",
    "wrong_service_in_a_transaction": "waits for another service inside of a transaction",
    "wrong_lock_without_a_transaction": "locks rows outside of a transaction",
    "wrong_wait_without_a_limit": "waits for an answer without a limit",
    "wrong_result_for_a_message": "returns a object, which no message can carry",
    "wrong_wait_in_a_task": "waits_for_a_report waits for a task inside of a task",
    "wrong_pool_of_a_request": "view_with_a_pool makes and ends a ThreadPoolExecutor",
    "wrong_processes_of_a_request": "view_with_processes makes and ends a Pool in one request",
    "wrong_thread_of_a_request": "view_with_a_thread starts a Thread for one request",
    "wrong_connection_of_a_loop": "connect left a connection to ('127.0.0.1', ",
    "wrong_connection_of_the_test": "connect left a connection to ('127.0.0.1', ",
    "wrong_task_of_a_loop": "tick runs in task ticker when its loop ends",
    "wrong_loop_of_one_call": "download blocked the event loop with",
}
RIGHT_BY_THEMSELVES = {
    "test_file_of_the_test",
    "test_wait_of_the_test",
    "test_thread_of_a_server_of_the_tests",
    "test_middleware_of_the_test",
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, str]]:
    """What each case's test says when it fails, by the case's name; empty if it passes."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = ["-p", "offload_dev.pytest.loop_guard", "-p", "no:cacheprovider"]
        ini = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
        quiet = ["--noconftest", "-c", os.devnull, "--rootdir", folder, "-q", "--ds"]
        environment = {"GUARD_WORK": folder, "DJANGO_SETTINGS_MODULE": "corpus_settings"}
        paths = os.pathsep.join(
            map(str, (nets.HERE, nets.HERE / "corpus", nets.SERVICE, nets.HERE.parent))
        )
        command = [sys.executable, "-m", "pytest", *options, *ini, *quiet, "corpus_settings"]
        tests = [f"--junitxml={report}", nets.HERE / "hidden_faults_tests.py"]
        printed = nets.run(Path(folder), *command, *tests, **environment | {"PYTHONPATH": paths})
        assert report.exists(), printed
        yield dict(_results(report))


def _results(report: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        texts = [f"{each.get('message')}\n{each.text}" for each in case]
        yield name.partition("[")[2].removesuffix("]") or name, "\n".join(texts)


def test_each_wrong_case_has_a_sentence_and_each_right_one_was_run(said: dict[str, str]) -> None:
    assert {name for name in said if name.startswith("wrong_")} == set(SENTENCES)
    assert set(said) >= RIGHT_BY_THEMSELVES


@pytest.mark.parametrize("name", SENTENCES)
def test_a_hidden_fault_fails_its_test(said: dict[str, str], name: str) -> None:
    assert SENTENCES[name] in said[name]
    assert "hidden_faults.py:" in said[name]


def test_no_right_twin_is_accused(said: dict[str, str]) -> None:
    accused = {name: text for name, text in said.items() if text and name not in SENTENCES}
    assert accused == {}
