"""Cases of the linter's tests: a module with a mistake, and its twin without it."""

from pathlib import Path
from typing import NamedTuple

from example_shop import findings


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
    """The numbers and severities of what the linter finds, with the arguments of `findings`."""
    return {(found.rule, found.severity) for found in findings(folder, code, **others)}


def check(twins: Twins, folder: Path) -> None:
    """Hold both halves against what the linter says of them."""
    assert (twins.rule, twins.severity) in numbers(folder / "wrong", twins.wrong)
    assert twins.rule not in {rule for rule, _ in numbers(folder / "right", twins.right)}
