"""`requirements/install.py`: uv or pip installs a locked list, and checks its hashes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from .conftest import ROOT

TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
INSTALL = TEMPLATE / "requirements" / "install.py"
# A small package of the locked list, which needs no other.
PACKAGE = "iniconfig"


def locked_entry() -> str:
    text = (TEMPLATE / "requirements" / "dev.txt").read_text()
    found = re.search(rf"^{PACKAGE}==.*?(?=^\w)", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found.group()


def install(
    folder: Path, locked: str, python: str | Path = sys.executable, **environment: str
) -> "subprocess.CompletedProcess[str]":
    path = folder / "locked.txt"
    path.write_text(locked)
    return subprocess.run(
        [python, INSTALL, folder / "venv", path],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def is_installed(folder: Path) -> bool:
    code = [folder / "venv" / "bin" / "python", "-c", f"import {PACKAGE}"]
    return subprocess.run(code, check=False, stderr=subprocess.DEVNULL).returncode == 0


def test_pip_installs_the_list_and_refuses_a_wrong_hash(tmp_path: Path) -> None:
    right = locked_entry()
    wrong = re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", right)
    told = install(tmp_path, wrong, INSTALLER="pip")
    assert told.returncode == 1
    assert "HASH" in told.stdout.upper()
    assert "Traceback" not in told.stdout
    assert not is_installed(tmp_path)

    told = install(tmp_path, right, INSTALLER="pip")
    assert told.returncode == 0, told.stdout
    assert "Installing up to 1 packages" in told.stdout
    assert is_installed(tmp_path)


def test_where_uv_fails_pip_installs_and_the_reason_is_shown(tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\necho this uv is broken\nexit 2\n")
    uv.chmod(0o755)
    path = f"{uv.parent}{os.pathsep}{os.environ['PATH']}"
    told = install(tmp_path, locked_entry(), PATH=path)
    assert told.returncode == 0, told.stdout
    assert "so pip does: this uv is broken" in told.stdout
    assert is_installed(tmp_path)


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    uv, log, locked = tmp_path / "uv", tmp_path / "log.txt", tmp_path / "locked.txt"
    uv.write_text("#!/bin/sh\n[ $1 = venv ] || { echo Resolved nothing yet; exec sleep 60; }\n")
    uv.chmod(0o755)
    locked.write_text(locked_entry())
    with log.open("wb") as output:
        installing = subprocess.Popen(
            [sys.executable, INSTALL, tmp_path / "venv", locked],
            env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Resolved" in log.read_text(), "uv", 60, logs=log.read_text)
    finally:
        # What Ctrl-C in its terminal does.
        os.killpg(installing.pid, signal.SIGINT)
        status = installing.wait(60)
    assert status == -signal.SIGINT
    assert "Traceback" not in log.read_text()


def test_uv_is_told_where_pip_finds_packages(tmp_path: Path) -> None:
    """uv does not read the settings of pip."""
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\necho "Resolved from $UV_DEFAULT_INDEX and $UV_FIND_LINKS"\n')
    uv.chmod(0o755)
    environment = {
        "PATH": f"{uv.parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_INDEX_URL": "https://packages.example.com/simple",
        "PIP_FIND_LINKS": "/one /two",
    }
    # An environment that uv has made, such as that of these tests, has no pip.
    with_pip = tmp_path / "with_pip"
    subprocess.run([sys.executable, "-m", "venv", with_pip], check=True)
    told = install(tmp_path, locked_entry(), with_pip / "bin" / "python", **environment)
    assert "Resolved from https://packages.example.com/simple and /one,/two" in told.stdout


def test_what_is_there_besides_stays(tmp_path: Path) -> None:
    told = install(tmp_path, locked_entry())
    assert told.returncode == 0, told.stdout
    interpreter = (tmp_path / "venv" / "bin" / "python").lstat().st_mtime_ns
    (purelib,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    other = purelib / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "RECORD").write_text("other-1.0.dist-info/METADATA,,\nother-1.0.dist-info/RECORD,,\n")

    told = install(tmp_path, locked_entry())
    assert told.returncode == 0, told.stdout
    assert (other / "METADATA").exists()
    assert (tmp_path / "venv" / "bin" / "python").lstat().st_mtime_ns == interpreter


@pytest.mark.parametrize("name", ["Makefile", "{{cookiecutter.project_slug}}/Makefile"])
def test_both_makefiles_install_in_this_way(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "requirements/install.py" in text
    assert "-r requirements/dev.txt" not in text
