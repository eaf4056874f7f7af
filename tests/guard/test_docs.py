"""Every number has a page, and the pages' examples are what they say: the wrong one is found, the
right one is not.
"""

import re
from pathlib import Path

import pytest
from cases import FENCE
from nets import SERVICE

from offload_dev.lint.grade import grade
from offload_dev.lint.registry import RULES
from offload_dev.lint.source import Project

PAGES = SERVICE / "docs" / "guard"


@pytest.mark.parametrize("number", RULES)
def test_the_examples_of_a_page_are_true(number: str, tmp_path: Path) -> None:
    text = (PAGES / f"{number}.md").read_text()
    assert text.startswith(f"# {number}: {RULES[number].message}\n")
    assert f"Instead: {RULES[number].instead}.\n" in text
    examples = {half: (name, source) for half, name, source in FENCE.findall(text)}
    for half, (name, source) in examples.items():
        package = tmp_path / half / "app"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / name).write_text(source)
        for other in ("compute", "jobs"):
            (package / f"{other}.py").touch()
    wrong, right = (
        [finding.rule for finding in grade(Project(tmp_path / half))] for half in ("wrong", "right")
    )
    assert number in wrong
    assert right == []


def test_every_check_has_a_page() -> None:
    checks = SERVICE / "offload" / "guard" / "checks"
    numbers = {
        number
        for path in checks.glob("*.py")
        for number in re.findall(r'"([EW]7\d\d)"', path.read_text())
    }
    assert numbers == {path.stem for path in PAGES.glob("[EW]7*.md")}


def test_the_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text()
    assert [page.stem for page in PAGES.glob("*[0-9].md") if f"({page.name})" not in index] == []


@pytest.mark.parametrize("page", sorted(PAGES.glob("*[0-9].md")), ids=lambda page: page.stem)
def test_every_page_ends_with_why_and_calls_the_reason_by_its_title(page: Path) -> None:
    why = re.fullmatch(r"Why: \[(.+)\]\((.+)\)\.", page.read_text().splitlines()[-1])
    assert why
    title, target = why.groups()
    assert (page.parent / target).read_text().startswith(f"# {title}\n")
