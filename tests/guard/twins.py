"""Cases of the linter's tests: a module with a mistake, and its twin without it."""

from pathlib import Path
from typing import NamedTuple

from test_types import HEAD, MODELS

from offload_dev.lint.grade import grade
from offload_dev.lint.source import Project


class Twins(NamedTuple):
    """A mistake and its twin.

    Args:
        rule: the number that the mistake gets.
        severity: with which severity.
        wrong: the module `views.py` with the mistake.
        right: the same module without it.
    """

    rule: str
    severity: str
    wrong: str
    right: str


def numbers(folder: Path, code: str, **others: str) -> set[tuple[str, str]]:
    """The numbers and severities that the linter gives to a package.

    Args:
        code: `views.py`, below the imports of `HEAD`.
        others: more files of the package, by path without ending.
    """
    package = folder / "shop"
    package.mkdir(parents=True)
    files = {"__init__": "", "models": MODELS, "views": HEAD + code} | others
    for name, text in files.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {(found.rule, found.severity) for found in grade(Project(folder))}


def check(twins: Twins, folder: Path) -> None:
    """Hold both halves against what the linter says of them."""
    assert (twins.rule, twins.severity) in numbers(folder / "wrong", twins.wrong)
    assert twins.rule not in {rule for rule, _ in numbers(folder / "right", twins.right)}
