"""A finding, as it is printed, and the grades."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offload_dev.lint.checks.registry import AREAS, RULES, Rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.report import pages

# The grade of an area with more errors than this.
MAX_ERRORS_FOR_C = 2
MAX_ERRORS_FOR_D = 9
# A step of a chain. A path may have spaces, and even ends of lines.
STEP = re.compile(r"(?P<path>.+?):(?P<line>\d+) (?P<name>.*)", re.DOTALL)


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks a rule.

    Args:
        path: relative to what was graded.
        line: counted from 1.
        rule: the number.
        subject: the words before the rule's message.
        chain: the calls or imports from here to the cause, each `path:line name`; empty if the line
            itself is the cause.
        likely: why this may still be right, so that it is only a warning; empty if it is certain.
        advice: what to write instead of this line; empty if the rule's own sentence says it.
    """

    path: str
    line: int
    rule: str
    subject: str = ""
    chain: tuple[str, ...] = ()
    likely: str = field(default="", compare=False)
    advice: str = field(default="", compare=False)

    @property
    def _rule(self) -> Rule:
        return RULES[self.rule]

    @property
    def severity(self) -> str:
        return "warning" if self.likely else self._rule.severity

    @property
    def instead(self) -> str:
        """What to write instead."""
        return self.advice or self._rule.instead

    @property
    def docs(self) -> str:
        """The page of the number."""
        return self._rule.docs

    @property
    def area(self) -> str:
        return self._rule.area

    @property
    def message(self) -> str:
        return f"{self.subject} {self._rule.message}".strip()

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {
            "rule": self.rule,
            "path": self.path,
            "line": self.line,
            "message": self.message,
            "instead": self.instead,
            "chain": self.chain,
            "severity": self.severity,
            "likely": self.likely,
            "docs": self.docs,
        }

    def as_text(self) -> str:
        """The finding for people: place, number, message, chain, what to write instead, page."""
        chain = "".join(
            f"\n    {'calls ' if step else 'from  '}{where}"
            for step, where in enumerate(self.chain)
        )
        likely = f"\n    likely: {self.likely}" if self.likely else ""
        return (
            f"{self.path}:{self.line}: {self.severity} {self.rule} {self.message}{chain}{likely}"
            f"\n    instead: {self.instead}  ({pages.reference(self.rule)})"
        )


def finding(violation: Violation, file: Path, root: Path) -> Finding:
    """A violation as it is printed. `file` is what was checked, `root` what is graded."""
    return Finding(
        place(violation.file or file, root),
        violation.line,
        violation.rule,
        violation.subject,
        tuple(
            f"{place(step.scope.module.path, root)}:{step.line} {step.what}"
            for step in violation.chain
        ),
        violation.likely,
        violation.instead,
    )


def place(path: Path, root: Path) -> str:
    """A file's name as findings write it: relative to what is graded."""
    if path.is_relative_to(root) and path != root:
        return path.relative_to(root).as_posix()
    return path.as_posix()


def read_step(step: str) -> tuple[str, int, str]:
    """The file, the line and the name of a step of a chain: `shop/views.py:5 view`."""
    found = STEP.fullmatch(step)
    assert found is not None, step
    return found["path"], int(found["line"]), found["name"]


def grades(findings: Iterable[Finding]) -> dict[str, str]:
    """A letter for each area.

    A: no finding. B: only warnings. C: up to two errors. D: up to nine errors. F: more.
    """
    severities: dict[str, list[str]] = {area: [] for area in AREAS.values()}
    for each in findings:
        severities[each.area].append(each.severity)
    return {area: _letter(found) for area, found in severities.items()}


def _letter(severities: list[str]) -> str:
    errors = severities.count("error")
    if errors > MAX_ERRORS_FOR_D:
        return "F"
    if errors > MAX_ERRORS_FOR_C:
        return "D"
    if errors:
        return "C"
    return "B" if severities else "A"
