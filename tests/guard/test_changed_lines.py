"""`--diff` and `--baseline` where git, its settings and the files are not as they are mostly."""

import json
import subprocess
from pathlib import Path

import pytest
from small_apps import BLOCKING, write

from offload_dev.lint.__main__ import main

CHANGED = BLOCKING.replace("sleep(1)", "sleep(2)")


def git(tree: Path, *arguments: str) -> None:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=tree, check=True, capture_output=True, timeout=60)


def commit(tree: Path) -> None:
    git(tree, "init", "--initial-branch=main")
    git(tree, "add", ".")
    git(tree, "commit", "--message=first")


def found(tree: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, int]]:
    """The places that `--diff HEAD` reports."""
    capsys.readouterr()
    main([str(tree), "--diff", "HEAD", "--json"])
    report = json.loads(capsys.readouterr().out)
    return [(each["path"], each["line"]) for each in report["findings"]]


@pytest.mark.parametrize(
    "setting",
    [
        ("color.ui", "always"),
        ("diff.external", "true"),
        ("diff.renames", "false"),
        ("diff.interHunkContext", "50"),
        ("diff.py.textconv", "head -c 5"),
    ],
)
def test_no_setting_of_git_hides_a_changed_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: tuple[str, str]
) -> None:
    tree = write(tmp_path, views=BLOCKING, old=BLOCKING)
    kind = "diff=py" if "textconv" in setting[0] else "-diff"
    (tree / ".gitattributes").write_text(f"views.py {kind}\n")
    commit(tree)
    git(tree, "config", *setting)
    (tree / "app" / "views.py").write_text(CHANGED)
    git(tree, "mv", "app/old.py", "app/new.py")
    assert found(tree, capsys) == [("app/views.py", 5)]


def test_a_line_may_look_like_the_head_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = write(tmp_path, views=BLOCKING)
    commit(tree)
    text = "TEXT = '''\n++ other.py\n@@ -1 +1 @@\n'''\n"
    (tree / "app" / "views.py").write_text(CHANGED.replace("\n\n\n", f"\n{text}\n\n"))
    assert found(tree, capsys) == [("app/views.py", 9)]


def test_git_may_write_a_name_in_quotes_and_a_line_in_another_encoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ('q"uo\\te', "t\tab", "größe")
    tree = write(tmp_path, **dict.fromkeys(names, ""))
    commit(tree)
    for name in names:
        text = f"# coding: latin-1\nNAME = 'größe'\n{BLOCKING}"
        (tree / "app" / f"{name}.py").write_bytes(text.encode("latin-1"))
    (tree / "app" / 'n"ew.py').write_text(BLOCKING)
    assert {line for _, line in found(tree, capsys)} == {5, 7}
    assert len(found(tree, capsys)) == 4


def test_commits_without_a_start_in_common_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = write(tmp_path, views=BLOCKING)
    commit(tree)
    git(tree, "switch", "--orphan", "other")
    git(tree, "commit", "--allow-empty", "--message=second")
    write(tree / "more", views=BLOCKING)
    assert main([str(tree), "--diff", "main"]) == 2
    assert "no commit in common here. If this is a shallow clone" in capsys.readouterr().err
    assert main([str(tree), "--diff", ""]) == 2


@pytest.mark.parametrize(
    "text", ["", "[1]", "null", '{"a": "b"}', "<<<<<<< HEAD\n{}", '{"a": 1.5}']
)
def test_another_file_is_no_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    tree, baseline = write(tmp_path / "tree", views=BLOCKING), tmp_path / "baseline.json"
    baseline.write_text(text)
    assert main([str(tree), "--baseline", str(baseline)]) == 2
    assert capsys.readouterr().err.startswith(f"{baseline} is no baseline: ")
    assert main([str(tree), "--write-baseline", str(tmp_path / "nowhere" / "b.json")]) == 2


@pytest.mark.parametrize(
    "text",
    ["tool = 3\n", "[tool]\noffload = 3\n", "[tool.offload.libraries]\nacme = 3\n"],
)
def test_a_table_of_libraries_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    tree = write(tmp_path, views=BLOCKING)
    (tree / "pyproject.toml").write_text(text)
    assert main([str(tree)]) == 2
    assert "must be a table, and not 3" in capsys.readouterr().err
