"""The plugin `loop_guard`: each fault fails its test and names the line, and good tests pass."""

import io
import sqlite3

import pytest
from nets import SERVICE

from offload_dev.pytest.blocking_calls import record_blocking_calls

FAULTS = {
    "sleeps": (
        "import time; time.sleep(0.001)",
        r"*test_sleeps.py:* blocked the event loop with time.sleep*",
    ),
    "swallows": (
        "import time\n    try:\n        time.sleep(0.001)\n    except Exception:\n        pass",
        "*test_swallows.py:* blocked the event loop with time.sleep*",
    ),
    "computes": (
        "sum(i * i for i in range(4_000_000))",
        "*test_computes.py:* blocked the event loop for * ms*",
    ),
    "holds_gil": (
        "import re; re.match('(a+)+$', 'a' * 24 + '!')",
        "* blocked the event loop for * ms*",
    ),
    "leaks_task": (
        "global kept; kept = asyncio.create_task(asyncio.sleep(30))",
        "*task *is left running*",
    ),
    "leaks_thread": (
        "import threading\n    sleep = asyncio.sleep(30)\n"
        "    threading.Thread(target=asyncio.run, args=[sleep], daemon=True).start()",
        "*test_leaks_thread.py:* left a Thread open*",
    ),
    "leaks_client": ("import aiohttp; aiohttp.ClientSession()", "*left a ClientSession open*"),
    "forgets": ("asyncio.sleep(0)", "*coroutine 'sleep' was never awaited*"),
}


@pytest.fixture(autouse=True)
def configured(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SERVICE))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "-p", "offload_dev.pytest.loop_guard", "-p", "no:django", "-p", "no:cacheprovider"
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_test_with_the_line(pytester: pytest.Pytester, fault: str) -> None:
    body, sentence = FAULTS[fault]
    pytester.makepyfile(
        **{f"test_{fault}": f"import asyncio\nimport aiohttp\n\nasync def test_it():\n    {body}\n"}
    )
    result = run(pytester)
    if "left a" in sentence:
        # Found after the fixtures of the test, which might have closed it.
        result.assert_outcomes(passed=1, errors=1)
    else:
        result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([sentence])


@pytest.mark.parametrize(
    ("decorator", "argument", "passes"),
    [
        ("@pytest.mark.django_db", "", False),
        ("", "db", False),
        ("@pytest.mark.django_db(transaction=True)", "", True),
        ("@pytest.mark.django_db", "transactional_db", True),
    ],
)
def test_an_async_test_in_a_transaction_fails_at_once(
    pytester: pytest.Pytester, decorator: str, argument: str, passes: bool
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")

        @pytest.fixture
        def db(): pass

        @pytest.fixture
        def transactional_db(): pass

        {decorator}
        async def test_it({argument}): pass
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=passes, errors=not passes)
    if not passes:
        result.stdout.fnmatch_lines(["*write @pytest.mark.django_db(transaction=True)*"])


def test_good_tests_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, threading, time

        async def test_waits():
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0.1))
            await asyncio.to_thread(time.sleep, 0.1)

        async def test_ends_its_task():
            task = asyncio.create_task(asyncio.sleep(30))
            task.cancel()

        def test_sync_may_block():
            thread = threading.Thread(target=time.sleep, args=[0.1])
            thread.start()
            time.sleep(0.1)
            thread.join()
        """
    )
    run(pytester).assert_outcomes(passed=3)


def test_what_a_fixture_closes_after_its_test_is_no_leak(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_fixtures="""
        import httpx
        import pytest
        import threading

        class Service:
            client = None
            def __enter__(self): return self
            def __exit__(self, *error):
                self.stop.set()
                self.client.close()
            def ask(self):
                self.client = httpx.Client()
                self.stop = threading.Event()
                threading.Thread(target=self.stop.wait).start()

        @pytest.fixture
        def service():
            with Service() as service: yield service

        @pytest.fixture
        def kept():
            yield

        def test_sync(service):
            service.ask()

        async def test_async(service):
            service.ask()

        def test_leaves_one(kept):
            global client
            client = httpx.Client()
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*test_leaves_one left a Client open*"])


def test_the_way_out_needs_a_reason(pytester: pytest.Pytester) -> None:
    test = (
        "import pytest, time\n\n@pytest.mark.offload_allow({})\n"
        "async def test_it():\n    time.sleep(0.001)\n"
    )
    pytester.makepyfile(test.format("reason='the driver has no other way'"))
    run(pytester).assert_outcomes(passed=1)
    pytester.makepyfile(test.format(""))
    result = run(pytester)
    result.stderr.fnmatch_lines(["*write @pytest.mark.offload_allow(reason=*"])


def test_the_tests_own_error_keeps_its_place_and_gains_the_line_that_blocked(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("import time\n\nasync def test_it():\n    time.sleep(0.001)\n")
    run(pytester).stdout.fnmatch_lines(
        ["*BlockingError*", "*blocked the event loop with time.sleep*"]
    )


def test_the_types_of_files_are_afterwards_as_they_were() -> None:
    """Python 3.11.2 ended with a segmentation fault when something was left in them."""
    types = (io.BufferedReader, io.BufferedWriter, io.TextIOWrapper, sqlite3.Cursor)
    before = [dict(vars(each)) for each in types]
    for _ in range(2):
        with record_blocking_calls():
            assert dict(vars(io.TextIOWrapper)) != before[2]
    assert [dict(vars(each)) for each in types] == before
