"""The hidden checks of each task pass for its right solution, and fail for the wrong one.

`make test` tries one task, and `make assistants` all.
"""

import os
import shutil
from pathlib import Path

import pytest

from .task import Task, all_tasks, new_service

SHORT = ("primes",)
TRIED = [each for each in all_tasks() if os.environ.get("ASSISTANTS_LONG") or each.name in SHORT]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_service(tmp_path_factory.mktemp("assistants") / "new")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", TRIED, ids=lambda task: task.name)
def test_the_checks_tell_right_from_wrong(service: Path, tmp_path: Path, task: Task) -> None:
    for solution in ("right", "wrong"):
        project = tmp_path / solution / "desk"
        shutil.copytree(service, project)
        task.solve(project, solution)
        faults = task.faults(project)
        assert bool(faults) is (solution == "wrong"), "\n".join([solution, *faults])


def test_a_request_shows_neither_checks_nor_solutions() -> None:
    assert len(all_tasks()) >= 12
    for task in all_tasks():
        assert task.request.startswith("# ")
        assert "```" not in task.request
        for _, text in task.blocks("python", "checks", "right", "wrong", "both"):
            assert text not in task.request
