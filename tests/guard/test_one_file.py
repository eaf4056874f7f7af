"""The linter as one file, which a bare Python runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import lay_out
from nets import SERVICE
from small_apps import BLOCKING, write


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


def test_the_one_file_prints_the_page_that_its_findings_name(zipapp: Path, tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", views=BLOCKING)

    def run(*arguments: str) -> str:
        bare = [sys.executable, "-I", "-S", str(zipapp), *arguments]
        return subprocess.run(
            bare, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        ).stdout

    assert "(--explain OFF103)" in run(str(tree))
    assert run("--explain", "OFF103") == (SERVICE / "docs" / "guard" / "OFF103.md").read_text()
