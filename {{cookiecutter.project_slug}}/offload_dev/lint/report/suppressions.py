"""Findings that may stay: those with a comment beside the line, which gives the reason."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, generate_tokens

from offload_dev.lint.report.findings import Finding, place, read_step
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module

SUPPRESSION = re.compile(r"#\s*offload:\s*allow\s+(OFF\d{3})\s*:?\s*(.*)")


@dataclass(frozen=True)
class Suppression:
    """One comment `# offload: allow OFF103: reason`, and the line that it stands for."""

    file: Path
    line: int
    rule: str
    reason: str


class Suppressions:
    """All suppressions of a project.

    A suppression stands on the line of a finding, or alone on the line above. It may also stand at
    the last line of a chain, and then covers every way to that line.
    """

    def __init__(self, project: Project) -> None:
        self._by_place = {
            (place(found.file, project.root), found.line, found.rule): found
            for module in project.modules.values()
            for found in _read(module)
        }
        # The suppressions, with a reason, that covered a finding.
        self._used: set[Suppression] = set()

    def apply(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that no suppression covers. One without a reason covers nothing."""
        for finding in findings:
            covering = {self._by_place[key] for key in _places(finding) if key in self._by_place}
            if any(found.reason for found in covering):
                self._used |= covering
            else:
                yield finding

    @property
    def unused(self) -> list[Suppression]:
        """The suppressions that covered no finding so far."""
        return [found for found in self._by_place.values() if found not in self._used]


def _places(finding: Finding) -> Iterator[tuple[str, int, str]]:
    """Where a suppression covers a finding: at its own line, and at the end of its chain."""
    yield finding.path, finding.line, finding.rule
    if finding.chain:
        path, line, _ = read_step(finding.chain[-1])
        yield path, line, finding.rule


def _read(module: Module) -> Iterator[Suppression]:
    if "offload:" not in module.text:
        return
    for token in generate_tokens(StringIO(module.text).readline):
        if token.type == COMMENT and (found := SUPPRESSION.search(token.string)):
            is_alone = token.line.lstrip().startswith("#")
            line = token.start[0] + is_alone
            yield Suppression(module.path, line, found[1], found[2].strip())
