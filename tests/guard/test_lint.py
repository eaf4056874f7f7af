"""The linter as a command: what it prints, what it exits with, and what it lets pass."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cases import lay_out
from nets import SERVICE

from offload_dev.lint.__main__ import main
from offload_dev.lint.grade import grade
from offload_dev.lint.registry import RULES
from offload_dev.lint.source import Project

BLOCKING = "import time\n\n\nasync def view(request):\n    time.sleep(1)\n"


def write(root: Path, **files: str) -> Path:
    package = root / "app"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return root


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


def test_exit_status_tells_the_severity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warns = write(tmp_path / "warns", views="async def view(task):\n    task.delay(1)\n")
    fails = write(tmp_path / "fails", views=BLOCKING)
    clean = write(tmp_path / "clean", views="async def view(request):\n    return 1\n")
    assert [main([str(tree)]) for tree in (clean, warns, fails)] == [0, 0, 1]
    assert [main([str(tree), "--fail-on", "warning"]) for tree in (clean, warns, fails)] == [
        0,
        1,
        1,
    ]
    assert main([str(fails), "--fail-on", "never"]) == 0
    assert "instead:" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "nowhere")])


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


def test_a_baseline_forgives_old_findings_wherever_they_move_and_no_new_ones(
    tmp_path: Path,
) -> None:
    tree, baseline = write(tmp_path / "tree", views=BLOCKING), tmp_path / "baseline.json"
    assert main([str(tree), "--write-baseline", str(baseline)]) == 0
    views = tree / "app" / "views.py"
    views.write_text("# one line more\n" + BLOCKING)
    assert main([str(tree), "--baseline", str(baseline)]) == 0
    views.write_text(BLOCKING + "    time.sleep(1)\n")
    assert main([str(tree), "--baseline", str(baseline)]) == 1


def test_tests_and_migrations_are_not_graded(tmp_path: Path) -> None:
    tree = write(tmp_path, test_views=BLOCKING)
    write(tree / "app" / "migrations", views=BLOCKING)
    assert grade(Project(tree)) == []


def test_a_file_that_cannot_be_read_is_a_finding_and_not_a_crash(tmp_path: Path) -> None:
    tree = write(tmp_path, broken="def view(:\n")
    assert [finding.rule for finding in grade(Project(tree))] == ["OFF001"]


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


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The linter as one file, built by the generated project's own Makefile."""
    project = tmp_path_factory.mktemp("project")
    lines = (SERVICE / "Makefile").read_text().splitlines(keepends=True)
    # make knows no Jinja.
    (project / "Makefile").write_text("".join(line for line in lines if line[:2] != "{%"))
    without_caches = shutil.ignore_patterns("__pycache__")
    for part in ("offload_dev", "docs/guard"):
        shutil.copytree(SERVICE / part, project / part, ignore=without_caches)
    make = ["make", "--silent", "lint-zipapp", f"PYTHON={sys.executable}"]
    subprocess.run(make, cwd=project, check=True, timeout=60)
    return project / "build" / "offload-lint.pyz"


def test_the_one_file_says_what_the_package_says_on_a_bare_python_in_an_empty_folder(
    zipapp: Path, tmp_path: Path
) -> None:
    tree = lay_out("wrong", tmp_path / "tree")
    empty = tmp_path / "empty"
    empty.mkdir()
    alone = shutil.copy(zipapp, tmp_path / "copied.pyz")

    # -S: no site-packages.
    bare = [sys.executable, "-I", "-S", str(alone), str(tree), "--json"]
    done = subprocess.run(bare, cwd=empty, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)

    package = [sys.executable, "-m", "offload_dev.lint", str(tree), "--json"]
    expected = subprocess.run(
        package, cwd=SERVICE, capture_output=True, text=True, timeout=60, check=False
    )
    assert found == json.loads(expected.stdout)
    assert len(found["findings"]) > 100


def test_the_one_file_is_the_same_bytes_wherever_and_whenever_it_is_built(
    zipapp: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    for part in ("offload_dev", "docs/guard"):
        shutil.copytree(SERVICE / part, copy / part)
    for path in copy.rglob("*.py"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    build = [sys.executable, "-m", "offload_dev.zipapp", "again.pyz"]
    environment = os.environ | {"TZ": "Asia/Tokyo"}
    subprocess.run(build, cwd=copy, env=environment, check=True, timeout=60)
    assert (copy / "again.pyz").read_bytes() == zipapp.read_bytes()


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


def test_the_one_file_prints_the_page_that_its_findings_name(zipapp: Path, tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", views=BLOCKING)

    def run(*arguments: str) -> str:
        bare = [sys.executable, "-I", "-S", str(zipapp), *arguments]
        return subprocess.run(
            bare, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        ).stdout

    assert "(--explain OFF103)" in run(str(tree))
    assert run("--explain", "OFF103") == (SERVICE / "docs" / "guard" / "OFF103.md").read_text()


def test_a_page_is_explained_and_an_unknown_number_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--explain", "off203"]) == 0
    assert capsys.readouterr().out.startswith("# OFF203: ")
    assert main(["--explain", "E707"]) == 0
    assert main(["--explain", "../OFF203"]) == 2
    assert main(["--explain", "OFF999"]) == 2
    assert "there is no number OFF999" in capsys.readouterr().err


def test_a_baseline_shrinks_and_a_mended_finding_may_not_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = BLOCKING + "    time.sleep(1)\n"
    tree, baseline = write(tmp_path / "tree", views=twice), tmp_path / "debts.json"
    command = [str(tree), "--baseline", str(baseline)]
    assert main([str(tree), "--write-baseline", str(baseline)]) == 0

    # One of two is mended: the file allows too much until it is pruned.
    (tree / "app" / "views.py").write_text(BLOCKING)
    assert main(command) == 1
    assert "1 of its findings are mended" in capsys.readouterr().err
    assert main([*command, "--fail-on", "never"]) == 0
    assert main([*command, "--prune-baseline"]) == 0
    assert main(command) == 0
    (tree / "app" / "views.py").write_text(twice)
    assert main(command) == 1


def git(tree: Path, *arguments: str) -> None:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=tree, check=True, capture_output=True, timeout=60)


def test_only_lines_that_the_base_does_not_have_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helper = "import time\n\n\ndef pause():\n    pass\n"
    caller = "from .helper import pause\n\n\nasync def other(request):\n    pause()\n"
    tree = write(tmp_path / "tree", views=BLOCKING, helper=helper, caller=caller)
    git(tree, "init", "--initial-branch=main")
    git(tree, "add", ".")
    git(tree, "commit", "--message=first")
    command = [str(tree), "--diff", "main", "--json"]
    assert main(command) == 0

    # A new line, a new file, and a function that an old line calls.
    git(tree, "switch", "--create=branch")
    views = tree / "app" / "views.py"
    views.write_text(f"{BLOCKING}    time.sleep(2)\n")
    git(tree, "commit", "--all", "--message=second")
    (tree / "app" / "more.py").write_text(BLOCKING)
    (tree / "app" / "helper.py").write_text(helper.replace("pass", "time.sleep(1)"))
    capsys.readouterr()
    assert main(command) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    places = {(each["path"], each["line"]) for each in found}
    assert places == {("app/caller.py", 5), ("app/more.py", 5), ("app/views.py", 6)}

    # What comes into the base later is not the branch's.
    assert main([str(tree), "--diff", "nowhere"]) == 2
    assert "git merge-base" in capsys.readouterr().err


CALLS = "from .slow import pause\n\n\nasync def view(request):\n    pause()\n"
SLOW = "import time\n\n\ndef pause():\n    time.sleep(1)\n"


def test_sarif_has_the_rules_the_places_and_the_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "service", views=CALLS, slow=SLOW)
    monkeypatch.chdir(tmp_path)
    assert main(["service", "--format", "sarif"]) == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "OFF103"
    assert result["level"] == "error"
    assert "`await asyncio.sleep(…)`" in result["message"]["text"]
    (flow,) = result["codeFlows"][0]["threadFlows"]
    places = [step["location"]["physicalLocation"] for step in flow["locations"]]
    assert [place["artifactLocation"]["uri"] for place in places] == [
        "service/app/views.py",
        "service/app/slow.py",
    ]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 5}


def test_github_gets_one_command_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, views=CALLS, slow=SLOW)
    monkeypatch.chdir(tmp_path)
    assert main([".", "--format", "github"]) == 1
    assert capsys.readouterr().out == (
        "::error file=app/views.py,line=5,title=OFF103::time.sleep() blocks the event loop"
        "%0Acalls app/slow.py:5 pause%0Ainstead: `await asyncio.sleep(…)`\n"
    )


def test_the_pre_commit_hook_of_a_service_refuses_what_a_commit_adds(tmp_path: Path) -> None:
    config = yaml.safe_load((SERVICE / ".pre-commit-config.yaml").read_text())
    (hook,) = (
        each for repo in config["repos"] for each in repo["hooks"] if each["id"] == "offload-lint"
    )
    python, *arguments = hook["entry"].split()
    assert python == ".venv/bin/python"

    def run() -> int:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(SERVICE)},
            capture_output=True,
            timeout=60,
            check=False,
        ).returncode

    # Before the first commit, and after it.
    git(tmp_path, "init")
    write(tmp_path, views=BLOCKING)
    git(tmp_path, "add", ".")
    assert run() == 1
    git(tmp_path, "commit", "--message=old debts")
    assert run() == 0
    (tmp_path / "app" / "views.py").write_text(f"{BLOCKING}    time.sleep(2)\n")
    git(tmp_path, "add", ".")
    assert run() == 1
