"""Each door of SECURITY.md names a test that is there, and so does each line of OWASP's table."""

import re
from pathlib import Path

import pytest

from .conftest import ROOT

PAGE = ROOT / "{{cookiecutter.project_slug}}" / "SECURITY.md"
HEADINGS = {
    "## Who may attack, and at which door": 12,
    "## OWASP API Security Top 10 (2023)": 10,
}


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the table below a heading."""
    section = PAGE.read_text().partition(heading)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def known_tests() -> set[str]:
    """The names of all tests, and the paths of their files."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    names = {
        name
        for file in files
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    paths = {str(file.relative_to(ROOT)) for file in files}
    folders = {str(Path(path).parent) for path in paths}
    return names | paths | folders | {file.name for file in files}


@pytest.mark.parametrize(("heading", "least"), HEADINGS.items())
def test_each_line_names_tests_that_are_there(heading: str, least: int) -> None:
    found, known = rows(heading), known_tests()
    assert len(found) >= least
    for cells in found:
        named = re.findall(r"`([^`]+)`", cells[-1])
        assert named, f"no test is named: {cells[0]}"
        assert set(named) <= known, f"{cells[0]}: {sorted(set(named) - known)}"
