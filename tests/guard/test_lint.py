"""What the linter finds and what it lets pass, whatever the rule."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nets import SERVICE
from small_apps import BLOCKING, write

from offload_dev.lint.checks.registry import RULES
from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project


def test_a_bare_python_grades_a_tree_without_any_dependency(tmp_path: Path) -> None:
    write(tmp_path, views=BLOCKING)
    code = (
        f"import sys; sys.path.insert(0, {str(SERVICE)!r}); "
        "from offload_dev.lint.__main__ import run; run()"
    )
    # -S: no site-packages.
    bare = [sys.executable, "-I", "-S", "-c", code, str(tmp_path), "--json"]
    done = subprocess.run(bare, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done.stderr
    printed = json.loads(done.stdout)
    finding = printed["findings"][0]
    assert (finding["rule"], finding["path"], finding["line"]) == ("OFF103", "app/views.py", 5)
    assert {"message", "instead", "chain"} <= finding.keys()
    assert printed["grades"]["waiting"] == "C"


def test_a_call_through_helpers_shows_the_whole_chain(tmp_path: Path) -> None:
    write(
        tmp_path,
        views="from .first import step\n\n\nasync def view(request):\n    return step()\n",
        first="from . import second\n\n\ndef step():\n    return second.last()\n",
        second="import time\n\n\ndef last():\n    time.sleep(1)\n",
    )
    (finding,) = grade(Project(tmp_path))
    assert finding.path == "app/views.py"
    assert finding.chain == ("app/views.py:5 view", "app/first.py:5 step", "app/second.py:5 last")


def test_helpers_that_call_each_other_end_the_search(tmp_path: Path) -> None:
    helpers = (
        "import time\n\n\ndef ping():\n    pong()\n\n\ndef pong():\n    ping()\n    time.sleep(1)\n"
    )
    write(
        tmp_path,
        views="from .helpers import ping\n\n\nasync def view(request):\n    ping()\n",
        helpers=helpers,
    )
    assert [finding.rule for finding in grade(Project(tmp_path))] == ["OFF103"]


def test_a_suppression_needs_a_reason_and_something_to_suppress(tmp_path: Path) -> None:
    def rules(comment: str) -> list[str]:
        tree = write(
            tmp_path / str(len(list(tmp_path.iterdir()))),
            views=BLOCKING.replace("(1)\n", f"(1)  # {comment}\n"),
        )
        return [finding.rule for finding in grade(Project(tree))]

    assert rules("offload: allow OFF103: the device driver has no other way") == []
    assert (
        rules("noqa: ASYNC251  # offload: allow OFF103: beside the comment of another tool") == []
    )
    assert rules("offload: allow OFF103") == ["OFF002", "OFF103"]
    assert rules("offload: allow OFF101: a reason for another rule") == ["OFF003", "OFF103"]


def test_tests_and_migrations_are_not_graded(tmp_path: Path) -> None:
    tree = write(tmp_path, test_views=BLOCKING)
    write(tree / "app" / "migrations", views=BLOCKING)
    assert grade(Project(tree)) == []


def test_a_file_that_cannot_be_read_is_a_finding_and_not_a_crash(tmp_path: Path) -> None:
    tree = write(tmp_path, broken="def view(:\n")
    (found,) = grade(Project(tree))
    assert found.rule == "OFF001"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found.message == f"invalid syntax for Python {version}: this file cannot be parsed"


@pytest.mark.timeout(60)
def test_a_long_line_of_hashes_is_read_at_once(tmp_path: Path) -> None:
    """It took hours: each hash doubled the ways in which a pattern may match."""
    hashes = "#" * 200
    settings = (
        f"CACHES = {{\n    'default': {{\n        {hashes}\n        'NAME': 'a'\n    }}\n}}\n"
    )
    views = "from django.core.cache import cache\n\nasync def view(request):\n    cache.get('a')\n"
    tree = write(tmp_path, settings=settings, views=views)
    assert [finding.rule for finding in grade(Project(tree))] == ["OFF103"]


def test_a_byte_order_mark_and_another_encoding_are_read(tmp_path: Path) -> None:
    tree = write(tmp_path, views="", more="")
    (tree / "app" / "views.py").write_bytes(b"\xef\xbb\xbf" + BLOCKING.encode())
    (tree / "app" / "more.py").write_bytes(b"# coding: latin-1\nNAME = '\xe9'\n")
    assert [found.rule for found in grade(Project(tree))] == ["OFF103"]


def test_rooms_are_for_services_of_the_standard_alone(tmp_path: Path) -> None:
    files = {"api": "from . import compute\n", "compute": "import math\n"}
    assert grade(Project(write(tmp_path / "stranger", **files))) == []
    ours = write(tmp_path / "ours", **files, upstreams="from offload.fanout import Upstream\n")
    assert [finding.rule for finding in grade(Project(ours))] == ["OFF601"]


def test_the_standard_itself_is_clean() -> None:
    assert grade(Project(SERVICE / "offload" / "guard")) == []


def test_a_suppression_at_the_end_of_a_chain_covers_every_way_there(tmp_path: Path) -> None:
    slow = (
        "import time\n\n\ndef pause():\n"
        "    time.sleep(1)  # offload: allow OFF103: it only runs at start\n"
    )
    write(
        tmp_path,
        views="from .slow import pause\n\n\nasync def view(request):\n    pause()\n",
        slow=slow,
    )
    assert grade(Project(tmp_path)) == []


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.gather(User.objects.acount(), ask(), return_exceptions=True)",
        "async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(User.objects.acount()), group.create_task(ask())",
        "async with asyncio.TaskGroup() as group:\n"
        "        first = group.create_task(User.objects.acount())\n"
        "        await ask()\n"
        "        then = group.create_task(User.objects.aexists())",
        "async with asyncio.TaskGroup() as group:\n"
        "        if request.GET: task = group.create_task(User.objects.acount())\n"
        "        else: task = group.create_task(User.objects.aexists())",
    ],
)
def test_a_query_beside_something_else_is_no_queue(tmp_path: Path, body: str) -> None:
    imports = (
        "import asyncio\nfrom django.contrib.auth.models import User\nfrom .other import ask\n"
    )
    tree = write(tmp_path, views=f"{imports}\n\nasync def view(request):\n    {body}\n")
    assert grade(Project(tree)) == []


SECOND_LOOP = """
import asyncio
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest

async def query():
    return await User.objects.acount()

def helper(request: HttpRequest):
    return asyncio.run(query())
"""


def test_a_sync_view_with_a_second_loop_warns_where_it_may_run_under_wsgi(tmp_path: Path) -> None:
    (found,) = grade(Project(write(tmp_path / "stranger", views=SECOND_LOOP)))
    assert (found.rule, found.severity) == ("OFF109", "warning")
    (found,) = grade(
        Project(
            write(
                tmp_path / "ours",
                views=SECOND_LOOP,
                upstreams="from offload.fanout import Upstream",
            )
        )
    )
    assert (found.rule, found.severity) == ("OFF109", "error")


@pytest.mark.parametrize(
    "code",
    [
        "def helper(request: HttpRequest):\n    return async_to_sync(query)()",
        "async def view(request):\n    return await asyncio.to_thread(helper, request)",
        "async def view(request):\n"
        "    return await sync_to_async(helper, thread_sensitive=False)(request)",
        "async def view(request):\n"
        "    own = sync_to_async(helper, thread_sensitive=False)\n    await own(request)",
        "async def query():\n"
        "    async with ThreadSensitiveContext():\n        return await User.objects.acount()",
        "async def query():\n"
        "    own = sync_to_async(len, thread_sensitive=False)\n    return await own([])",
        "async def query():\n    return await asyncio.to_thread(User.objects.count)",
    ],
)
def test_a_second_loop_that_leaves_the_request_s_thread_alone_is_right(
    tmp_path: Path, code: str
) -> None:
    found = grade(Project(write(tmp_path, views=f"{SECOND_LOOP}\n{code}\n")))
    assert {each.rule for each in found}.isdisjoint({"OFF106", "OFF109"})


COMPUTING = """
import asyncio
from concurrent.futures import ProcessPoolExecutor
from asgiref.sync import sync_to_async

POOL = ProcessPoolExecutor()

class Model:
    def simulate(self, rounds, turns=10):
        return [number for number in range(rounds)]

def compute(seed, rounds=10, *, turns=10):
    for number in range(rounds):
        for other in range(turns):
            seed += number
    return seed

def usual(rounds=300_000):
    return sum(number for number in range(rounds))

def bounded(rounds):
    rounds = min(rounds, 100)
    return sum(number for number in range(rounds))

def in_chunks(size):
    return [number for number in range(0, size, 65_536)]

def endless(rounds):
    for number in range(rounds):
        yield number

async def view(request):
    return """


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("compute(1, 300_000)", "OFF202"),
        ("compute(1, turns=300_000)", "OFF202"),
        ("compute(1, rounds=300_000)", "OFF202"),
        ("Model().simulate(300_000)", "OFF202"),
        ("usual()", "OFF202"),
        ("await sync_to_async(compute)(1, 300_000)", "OFF203"),
        ("await sync_to_async(compute)(1)", None),
        ("await asyncio.to_thread(compute, 1, rounds=300_000)", "OFF203"),
        ("await asyncio.get_running_loop().run_in_executor(POOL, compute, 1, 300_000)", None),
        ("compute(300_000)", None),
        ("compute(*[1, 2], 300_000)", None),
        ("usual(10)", None),
        ("bounded(300_000)", None),
        ("in_chunks(300_000)", None),
        ("next(endless(300_000))", None),
    ],
)
def test_a_number_that_a_call_gives_decides_how_long_a_loop_is(
    tmp_path: Path, call: str, rule: str | None
) -> None:
    assert [found.rule for found in grade(Project(write(tmp_path, views=COMPUTING + call)))] == (
        [rule] if rule else []
    )


def test_the_tools_of_the_standard_have_no_finding_and_no_service_grades_them(
    tmp_path: Path,
) -> None:
    assert grade(Project(SERVICE / "offload_dev")) == []
    package = tmp_path / "offload_dev"
    package.mkdir()
    (package / "tool.py").write_text("import time\n\nasync def load():\n    time.sleep(1)\n")
    assert [found.rule for found in grade(Project(package))] == ["OFF103"]
    assert grade(Project(tmp_path)) == []


def test_each_rule_is_a_file_named_after_its_number_with_a_page_of_its_own() -> None:
    files = {path.stem for path in (SERVICE / "offload_dev" / "lint" / "rules").glob("off*.py")}
    for number, rule in RULES.items():
        file = rule.check.__module__.rpartition(".")[2]
        assert file.startswith(f"{number.lower()}_")
        assert rule.check.__doc__
        assert (SERVICE / rule.docs).is_file()
        files.discard(file)
    assert files == set()


@pytest.mark.parametrize(
    ("name", "text", "rules"),
    [
        ("api", "def view():\n    from .compute import risk\n", ["OFF601"]),
        ("api", "from .helper import risk\n", ["OFF601"]),
        ("upstreams", "def load():\n    from .models import Row\n", ["OFF602"]),
        ("compute", "def simulate():\n    import httpx\n", ["OFF603"]),
        ("jobs", "def risk():\n    from .compute import simulate\n", []),
        ("jobs", "def risk():\n    import numpy\n", []),
        ("jobs", "def risk():\n    from .models import Row\n", ["OFF604"]),
        ("jobs", "def risk():\n    import httpx\n", ["OFF604"]),
        ("jobs", "from .helper import risk\n", ["OFF604"]),
    ],
)
def test_an_import_counts_wherever_it_stands_but_a_job_loads_compute_in_its_function(
    tmp_path: Path, name: str, text: str, rules: list[str]
) -> None:
    files = {
        "compute": "import math\n",
        "models": "Row = 1\n",
        "helper": "from .compute import risk\n",
        "service": "from offload.fanout import Upstream\n",
    }
    tree = write(tmp_path, **(files | {name: text}))
    assert [found.rule for found in grade(Project(tree))] == rules


def test_a_finding_about_an_import_reads_as_a_sentence(tmp_path: Path) -> None:
    tree = write(tmp_path, api="import offload.fanout\nimport numpy\n")
    (found,) = grade(Project(tree))
    assert found.message == (
        "this import loads numpy, but api.py waits: it does not load what computes, "
        "and calls out only through upstreams.py and jobs.py"
    )


def test_a_job_that_calls_a_service_is_told_where_to_call_it(tmp_path: Path) -> None:
    jobs = "from offload.jobs import job\n\n@job\ndef risk():\n    import httpx\n"
    (found,) = grade(Project(write(tmp_path, jobs=jobs)))
    assert found.rule == "OFF604"
    assert found.instead.startswith("await the service in the endpoint")
