"""The model of the state machine (`model/`), in processes of their own: it has its own settings."""

import os
import re
import subprocess
import sys

import pytest

from .conftest import HERE, ROOT

PAGE = ROOT / "{{cookiecutter.project_slug}}" / "docs" / "reference" / "jobs.md"
# The depth of each family; `make model` explores all states.
DEPTHS = {
    "two plain": 3,
    "divided": 3,
    "nested": 2,
    "divided and plain": 2,
    "limited": 4,
    "chain": 3,
}


def model(*arguments: str) -> str:
    """What `python -m jobs.model` prints."""
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, "-m", "jobs.model", *arguments],
        cwd=HERE.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "LAB_DATABASE_URL" in os.environ, reason="the model's database is in memory"
    ),
]


@pytest.mark.parametrize("family", DEPTHS)
def test_every_state_within_some_faults_of_a_good_life_keeps_the_invariants(family: str) -> None:
    print(model("--family", family, "--depth", str(DEPTHS[family])))


def test_every_state_of_one_job_and_two_workers_keeps_the_invariants() -> None:
    assert "all states" in model("--family", "plain")


def test_a_fault_planted_for_each_invariant_is_found_by_its_number() -> None:
    found = re.search(r"all (\d+) planted faults are found", model("--faults"))
    assert found is not None
    numbers = re.findall(r"^(\d+)\. ", PAGE.read_text(), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, int(found[1]) + 1)]
