"""The linter on trees that nobody tidied: odd files and links, broken encodings, deep syntax."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from nets import SERVICE
from small_apps import BLOCKING, write

from offload_dev.lint.__main__ import main
from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

NOBODY = 65534


def lint(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, from the folder of the standard."""
    command = [sys.executable, "-m", "offload_dev.lint", *map(str, arguments)]
    defaults = {"cwd": SERVICE, "capture_output": True, "text": True, "timeout": 60}
    return subprocess.run(command, check=False, **defaults | options)  # type: ignore[call-overload]


def test_a_link_to_nothing_a_pipe_and_a_socket_are_no_files(tmp_path: Path) -> None:
    tree = write(tmp_path, views=BLOCKING)
    # An editor locks `views.py` so.
    (tree / "app" / ".#views.py").symlink_to("ann@host.4711")
    os.mkfifo(tree / "app" / "pipe.py")
    assert [found.rule for found in grade(Project(tree))] == ["OFF103"]


@pytest.mark.timeout(30)
def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", views=BLOCKING)
    outside = write(tmp_path / "outside", views=BLOCKING)
    for number in range(3):
        (tree / "app" / f"up{number}").symlink_to(tree)
        (outside / f"back{number}").symlink_to(tree)
        (tree / f"other{number}").symlink_to(outside)
    places = [found.path for found in grade(Project(tree))]
    assert places == ["app/views.py", "other0/app/views.py"]


def test_a_file_in_an_unknown_encoding_is_a_finding_without_a_path_of_this_machine(
    tmp_path: Path,
) -> None:
    tree = write(tmp_path)
    for name, content in {
        "klingon": b"# coding: klingon\n",
        "rot": b"# coding: rot13\n",
        "latin": b"\n\n\nNAME = '\xe9'\n",
        "wide": "NAME = 1\n".encode("utf-16"),
        "zero": b"NAME = 1\n\0\n",
    }.items():
        (tree / "app" / f"{name}.py").write_bytes(content)
    found = grade(Project(tree))
    assert [each.rule for each in found] == ["OFF001"] * 5
    assert not any(str(tmp_path) in each.message for each in found)


DEEP = {
    "elif": "def f(a):\n    if a == 0:\n        pass\n"
    + "".join(f"    elif a == {n}:\n        a = 1\n" for n in range(400)),
    "sum": "TEXT = " + " + ".join(["'a'"] * 3000) + "\n",
    "calls": "from .models import Row\n\n\ndef f():\n    return Row" + ".filter(a=1)" * 200 + "\n",
    "functions": "".join(f"def f{n}():\n    f{n + 1}()\n" for n in range(600)),
    "key": "def f(a):\n    return pow(a, 2, 0x" + "f" * 6000 + ")\n\n\nasync def g(request):\n"
    "    if request.GET == 0x" + "f" * 6000 + ":\n        f(0x" + "f" * 6000 + ")\n",
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_syntax_long_chains_and_long_numbers_are_read(tmp_path: Path, kind: str) -> None:
    tree = write(tmp_path, deep=DEEP[kind], views=BLOCKING)
    done = lint(tree)
    assert done.returncode == 1, done.stderr[-500:]
    assert "OFF103" in done.stdout
    # The parser of a newer Python has its own limit, and says so.
    assert "OFF001" not in done.stdout or sys.version_info >= (3, 12)


def test_what_the_parser_cannot_hold_is_a_finding(tmp_path: Path) -> None:
    tree = write(tmp_path, deep="NAME = " + "-" * 200_000 + "1\n")
    (found,) = grade(Project(tree))
    assert found.rule == "OFF001"
    assert found.message.startswith("too many levels of syntax inside of one another:")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_closed_folders_are_told_and_closed_files_are_findings() -> None:
    # Whoever is not root may not enter pytest's own folder.
    with tempfile.TemporaryDirectory() as folder:
        tree = write(Path(folder), views=BLOCKING, closed="")
        # Such as the files of a database that a container writes.
        (tree / "data").mkdir(mode=0)
        (tree / "app" / "closed.py").chmod(0)
        tree.chmod(0o755)
        code = (
            f"import os, sys; sys.path.insert(0, {str(SERVICE)!r});"
            f"from offload_dev.lint.__main__ import main; os.setuid({NOBODY});"
            f"sys.exit(main([{str(tree)!r}]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1, done.stderr
    assert done.stderr == f"{tree}/data: left out, it cannot be read: Permission denied\n"
    assert "closed.py:1: error OFF001 Permission denied: this file cannot be parsed" in done.stdout
    assert "views.py:5: error OFF103" in done.stdout


def test_an_environment_of_conda_is_none_of_the_service(tmp_path: Path) -> None:
    tree = write(tmp_path, views="")
    environment = write(tree / "env", views=BLOCKING)
    (environment / "conda-meta").mkdir()
    assert grade(Project(tree)) == []


def test_a_form_feed_ends_no_line(tmp_path: Path) -> None:
    views = BLOCKING.replace("import time\n", "import time\n\f\n\f\n")
    tree, baseline = write(tmp_path / "tree", views=views), tmp_path / "baseline.json"
    assert main([str(tree), "--write-baseline", str(baseline)]) == 0
    assert "time.sleep(1)" in baseline.read_text()


def test_no_file_to_check_and_what_is_no_python_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = write(tmp_path / "tree", views=BLOCKING)
    (tmp_path / "empty" / "tests").mkdir(parents=True)
    (tmp_path / "empty" / "tests" / "helper.py").touch()
    assert main([str(tmp_path / "empty")]) == 2
    assert "no Python file" in capsys.readouterr().err

    notebook = tmp_path / "notebook.ipynb"
    notebook.write_text('{"cells": []}')
    for paths, said in {
        (notebook,): "is no Python source",
        (os.devnull,): "is no Python source",
        (tree, tree / "app" / "views.py"): "give one directory",
        (): "give a directory",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            main([*map(str, paths)])
        assert said in capsys.readouterr().err


def test_a_narrow_terminal_and_a_closed_pipe_end_no_run(tmp_path: Path) -> None:
    # More than a pipe holds.
    views = BLOCKING.replace("view", "größe") + "    time.sleep(1)\n" * 600
    tree = write(tmp_path, views=views)
    narrow = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = lint(tree, env=narrow)
    assert (done.returncode, done.stderr) == (1, "")

    command = [sys.executable, "-m", "offload_dev.lint", tree]
    with subprocess.Popen(command, cwd=SERVICE, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_an_end_of_a_line_in_the_name_of_a_file_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = write(tmp_path)
    odd = "import time\n\n\nasync def view(r):\n    pause()\n\n\ndef pause():\n    time.sleep(1)\n"
    (tree / "app" / "o\nd d:1 d.py").write_text(odd)
    for report in ("text", "json", "sarif", "github"):
        assert main([str(tree), "--format", report]) == 1
        assert "OFF103" in capsys.readouterr().out
