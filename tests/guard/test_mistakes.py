"""Mistakes that others made: parts to learn from, and parts that nobody reads.

`mistakes/README.md` says how they were written, and what the linter caught of each part at first.
"""

import re
from pathlib import Path

import pytest
from mistakes import READ, UNREAD, Mistake, read

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "docs" / "mistakes.md",
    ROOT / "{{cookiecutter.project_slug}}" / "docs" / "guard" / "README.md",
]
LEARNED = [mistake for part in READ for mistake in read(part)]
# What the linter alone catches of the parts that nobody reads: it may only grow. And how many of
# their mends it accuses with an error: that may only fall.
MIN_CAUGHT = {"fixes_held_back": 13, "issues_unseen": 29, "strangers_unread": 11}
MAX_ACCUSED = {"fixes_held_back": 0, "issues_unseen": 0, "strangers_unread": 0}


def said(half: str, mistake: Mistake, folder: Path) -> tuple[set[tuple[str, str, str]], list[str]]:
    """Where the linter says which number, by the line's text; and the numbers of its errors."""
    tree = mistake.lay_out(half, folder / mistake.name / half)
    project = Project(tree)
    assert project.unreadable == []
    found, errors = set(), []
    for each in grade(project):
        lines = (tree / each.path).read_text().splitlines()
        found.add((each.path, lines[each.line - 1].strip(), each.rule))
        errors += [each.rule] if each.severity == "error" else []
    return found, errors


def test_each_mistake_has_a_name_of_its_own() -> None:
    names = [mistake.name for part in (*READ, *UNREAD) for mistake in read(part)]
    assert len(set(names)) == len(names) >= 310


def test_the_pages_say_how_many_of_the_learned_mistakes_are_caught() -> None:
    caught = sum(mistake.expect is not None for mistake in LEARNED)
    for page in PAGES:
        text = " ".join(page.read_text().split())
        said = re.findall(
            r"catches (\d+) of (\d+)|[oO]f the (\d+) that may be read, it catches (\d+)", text
        )
        assert [sorted(map(int, filter(None, each))) for each in said] == [[caught, len(LEARNED)]]


@pytest.mark.parametrize("mistake", LEARNED, ids=lambda mistake: mistake.name)
def test_a_learned_mistake_gets_its_number_and_its_mend_no_error(
    tmp_path: Path, mistake: Mistake
) -> None:
    (wrong, _), (right, errors) = (said(half, mistake, tmp_path) for half in ("wrong", "right"))
    numbers = {number for _, _, number in wrong - right}
    assert mistake.expect in numbers or (mistake.expect is None and not numbers)
    assert errors == []


@pytest.mark.parametrize("part", UNREAD)
def test_a_part_that_nobody_reads_is_caught_as_before(tmp_path: Path, part: str) -> None:
    caught, accused = 0, 0
    for mistake in read(part):
        (wrong, _), (right, errors) = (said(half, mistake, tmp_path) for half in ("wrong", "right"))
        caught += bool(wrong - right)
        accused += bool(errors)
    assert caught >= MIN_CAUGHT[part]
    assert accused <= MAX_ACCUSED[part]
