"""Mistakes that others reported: a part to learn from, and one that nobody reads.

`issues/README.md` says how they were written, and what the linter caught of both at first.
"""

from pathlib import Path

import pytest
from issues import Issue, read

from offload_dev.lint.grade import grade
from offload_dev.lint.source import Project

# Those that were opened were the unseen part before.
LEARNED, UNSEEN = [*read("learned"), *read("opened")], read("unseen")
# What the linter catches of the unseen part. Nobody reads which ones: it may only grow.
MIN_CAUGHT_UNSEEN = 27


def said(half: str, issue: Issue, folder: Path) -> tuple[set[tuple[str, str, str]], list[str]]:
    """Where the linter says which number, by the line's text; and the numbers of its errors."""
    tree = issue.lay_out(half, folder / issue.name / half)
    project = Project(tree)
    assert project.unreadable == []
    found, errors = set(), []
    for each in grade(project):
        lines = (tree / each.path).read_text().splitlines()
        found.add((each.path, lines[each.line - 1].strip(), each.rule))
        errors += [each.rule] if each.severity == "error" else []
    return found, errors


def test_each_mistake_has_a_name_of_its_own() -> None:
    names = {issue.name for issue in (*LEARNED, *UNSEEN)}
    assert len(names) == len(LEARNED) + len(UNSEEN) >= 130
    assert len(UNSEEN) >= 30


@pytest.mark.parametrize("issue", LEARNED, ids=lambda issue: issue.name)
def test_a_learned_mistake_gets_its_number_and_its_mend_no_error(
    tmp_path: Path, issue: Issue
) -> None:
    (wrong, _), (right, errors) = (said(half, issue, tmp_path) for half in ("wrong", "right"))
    numbers = {number for _, _, number in wrong - right}
    assert issue.expect in numbers or (issue.expect is None and not numbers)
    assert errors == []


def test_the_unseen_part_is_caught_as_before_and_no_mend_gets_an_error(tmp_path: Path) -> None:
    caught, accused = 0, 0
    for issue in UNSEEN:
        (wrong, _), (right, errors) = (said(half, issue, tmp_path) for half in ("wrong", "right"))
        caught += bool(wrong - right)
        accused += bool(errors)
    assert (caught >= MIN_CAUGHT_UNSEEN, accused) == (True, 0)
