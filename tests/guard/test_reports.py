"""The linter as a command: formats, baselines, changed lines, and what it exits with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from nets import SERVICE
from small_apps import BLOCKING, write

from offload_dev.lint.__main__ import main


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


def test_a_baseline_forgives_old_findings_wherever_they_move_and_no_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, baseline = write(tmp_path / "tree", views=BLOCKING), tmp_path / "baseline.json"
    assert main([str(tree), "--write-baseline", str(baseline)]) == 0
    assert capsys.readouterr().out == f"{baseline}: findings recorded: 1\n"
    views = tree / "app" / "views.py"
    views.write_text("# one line more\n" + BLOCKING)
    assert main([str(tree), "--baseline", str(baseline)]) == 0
    views.write_text(BLOCKING + "    time.sleep(1)\n")
    assert main([str(tree), "--baseline", str(baseline)]) == 1


@pytest.mark.parametrize("report", ["text", "json", "sarif", "github"])
def test_a_folder_may_have_spaces_in_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], report: str
) -> None:
    tree = write(tmp_path / "project" / "my service", views=CALLS, slow=SLOW)
    git(tree.parent, "init", "-q")
    git(tree.parent, "commit", "-q", "--allow-empty", "-m", "nothing")
    for changed in ([], ["--diff", "HEAD"]):
        assert main([str(tree.parent), "--format", report, *changed]) == 1
        assert "slow.py" in capsys.readouterr().out
    (tree / "app" / "slow.py").write_text(SLOW.rstrip() + "  # offload: allow OFF103: a test\n")
    assert main([str(tree.parent)]) == 0


def test_files_are_named_as_an_editor_opens_them_from_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write(tmp_path / "service", views=CALLS, slow=SLOW)
    for here, prefix in ((tmp_path, "service/"), (tree, ""), (tmp_path.parent, None)):
        monkeypatch.chdir(here)
        prefix = f"{tmp_path.name}/service/" if prefix is None else prefix
        for path in (str(tree), os.path.relpath(tree)):
            assert main([path]) == 1
            printed = capsys.readouterr().out
            assert printed.startswith(f"{prefix}app/views.py:5: ")
            assert f"calls {prefix}app/slow.py:5 pause" in printed
    monkeypatch.chdir("/")
    assert main([str(tree / "app" / "views.py")]) == 0


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
