"""Mistakes by kind, written from the documentation of libraries, and how each is mended.

`mends/README.md` says how they were written, and how many the linter caught before it was changed.
"""

from pathlib import Path

import pytest
from mends import ALL, Mend

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project


def numbers(half: str, mend: Mend, folder: Path) -> set[tuple[str, str]]:
    project = Project(mend.lay_out(half, folder / half))
    assert project.unreadable == []
    return {(found.rule, found.severity) for found in grade(project)}


def test_there_is_a_mistake_of_every_kind() -> None:
    assert len(ALL) >= 100
    assert len({mend.name for mend in ALL}) == len(ALL)


@pytest.mark.parametrize("mend", ALL, ids=lambda mend: f"{mend.kind}-{mend.name}")
def test_a_mistake_gets_its_number_and_its_mend_does_not(tmp_path: Path, mend: Mend) -> None:
    wrong, right = (numbers(half, mend, tmp_path) for half in ("wrong", "right"))
    assert mend.expect in {number for number, _ in wrong} - {number for number, _ in right}
    assert [number for number, severity in right if severity == "error"] == []
