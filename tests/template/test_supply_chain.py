"""What a generated project says of its packages and of secrets in its files.

`AUDIT` names the folder of the programs of requirements/audit.txt. `make audit` asks a service on
the network, and is not tried here.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SHARED, run


@pytest.fixture(scope="module")
def project(with_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that git knows."""
    folder = tmp_path_factory.mktemp("supply") / "project"
    shutil.copytree(with_example, folder)
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def made(project: Path) -> Callable[..., str]:
    """Runs targets of the Makefile; returns what they print."""
    programs = os.environ.get("AUDIT")
    if programs is None:
        if os.environ.get("REQUIRE_AUDIT"):
            pytest.fail("REQUIRE_AUDIT is set and AUDIT is not: the folder of pip-licenses")
        pytest.skip("NO AUDIT: nobody looked at licences, bill of materials and secrets")

    def make(*targets: str, succeeds: bool = True) -> str:
        installed = f"{programs}/.installed"
        ran = run("make", *targets, f"AUDIT={programs}", "-o", installed, *SHARED, cwd=project)
        assert (ran.returncode == 0) is succeeds, ran.stdout
        return ran.stdout

    return make


def test_every_package_of_production_has_a_licence_that_a_closed_product_can_use(
    made: Callable[..., str], project: Path
) -> None:
    made("licences")
    table = (project / "build" / "licences.md").read_text()
    assert "| Django " in table
    assert "| pytest " not in table, "it is no package of production"
    refused = made("licences", "REFUSED=MIT", succeeds=False)
    assert "MIT" in refused


def test_the_bill_of_materials_has_every_locked_package_with_its_hashes(
    made: Callable[..., str], project: Path
) -> None:
    made("sbom")
    bill = json.loads((project / "build" / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    locked = (project / "requirements" / "base.txt").read_text()
    assert len(bill["components"]) == sum("==" in line for line in locked.splitlines())
    assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])


def test_a_new_project_has_no_secret_and_one_that_comes_is_found(
    made: Callable[..., str], project: Path
) -> None:
    made("secrets")
    careless = project / "careless.py"
    # In two pieces, so that nobody finds it here.
    careless.write_text('KEY = "AKIA' + 'IOSFODNN7EXAMPLX"\n')
    try:
        # All other files were looked at above, which takes 17 s of CPU.
        run("git", "rm", "-r", "--quiet", "--cached", ".", cwd=project)
        run("git", "add", "careless.py", cwd=project)
        said = made("secrets", succeeds=False)
        assert "careless.py:1" in said
    finally:
        careless.unlink()
        run("git", "rm", "--quiet", "--cached", "careless.py", cwd=project)
        run("git", "add", "--all", cwd=project)
