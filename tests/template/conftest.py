"""Bakes of the template, once each, and commands run in them."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

# For `make` in a generated project: this test run's environment has all that it needs. Without `-o`
# make would install the project's list of requirements into it where that list is newer.
SHARED = (f"VENV={BIN.parent}", "-o", str(BIN.parent / ".installed"))


def run(*command: str | Path, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with this test run's Python first in PATH; its output is in the result."""
    import os

    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"PATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def bake(folder: Path, **answers: str) -> "subprocess.CompletedProcess[str]":
    """Generate a project below `folder` with plain cookiecutter and these answers."""
    given = [f"{name}={value}" for name, value in answers.items()]
    return run("cookiecutter", ROOT, "--no-input", "--output-dir", folder, *given, cwd=folder)


@pytest.fixture(scope="session", autouse=True)
def shared_environment() -> Iterator[None]:
    """All suites run in one environment at once. No test of this one may change it."""
    before = _installed()
    yield
    assert _installed() == before


def _installed() -> tuple[list[str], float]:
    """The packages, and when the interpreter was touched last: make touches what it has made."""
    packages = Path(sysconfig.get_path("purelib")).glob("*.dist-info")
    return sorted(package.name for package in packages), (BIN / "python").stat().st_mtime


@pytest.fixture(scope="session")
def with_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the defaults give."""
    folder = tmp_path_factory.mktemp("with-example")
    made = bake(folder)
    assert made.returncode == 0, made.stdout
    return folder / "risk_desk"


@pytest.fixture(scope="session")
def without_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without the example, with a package of another name that sorts first and other
    licences.
    """
    folder = tmp_path_factory.mktemp("without-example")
    made = bake(
        folder,
        project_name="Atlas",
        package="atlas_core",
        example="no",
        ci="gitlab",
        license="Proprietary",
    )
    assert made.returncode == 0, made.stdout
    return folder / "atlas"
