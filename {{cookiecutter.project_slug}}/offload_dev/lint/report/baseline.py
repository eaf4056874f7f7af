"""A baseline: a file of old findings, which are not reported again. It only shrinks."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from offload_dev.lint.report.findings import Finding, place
from offload_dev.lint.source.project import Project


class BadBaselineError(ValueError):
    """A file is no baseline."""


class Baseline:
    """The old findings of a file, counted: if there are more of a kind now, the rest is new.

    A finding is known by its rule, its file and its source line, so that the line may move.

    Args:
        file: a file that `write_baseline` has written.

    Raises:
        BadBaselineError: if it is another file.
    """

    def __init__(self, project: Project, file: Path) -> None:
        self._file, self._signatures = file, _Signatures(project)
        self._known = _read(file)
        self._found: Counter[str] = Counter()

    def new(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that the baseline does not have."""
        for finding in findings:
            signature = self._signatures.of(finding)
            if self._found[signature] < self._known[signature]:
                self._found[signature] += 1
            else:
                yield finding

    @property
    def mended(self) -> int:
        """How many findings of the file were not found again. Read all `new` findings first."""
        return (self._known - self._found).total()

    def prune(self) -> None:
        """Delete from the file what was not found again."""
        _write(self._found, self._file)


def write_baseline(findings: Iterable[Finding], project: Project, file: Path) -> None:
    """Record today's findings as old ones."""
    _write(Counter(map(_Signatures(project).of, findings)), file)


def _read(file: Path) -> Counter[str]:
    try:
        counts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadBaselineError(f"{file} is no baseline: {error}") from error
    if not isinstance(counts, dict) or not all(type(each) is int for each in counts.values()):
        raise BadBaselineError(f"{file} is no baseline: write one with --write-baseline")
    return Counter(counts)


def _write(counts: Counter[str], file: Path) -> None:
    text = json.dumps(dict(sorted((+counts).items())), indent=2)
    file.write_text(f"{text}\n", encoding="utf-8")


class _Signatures:
    """Names findings by rule, file and source line."""

    def __init__(self, project: Project) -> None:
        self._lines = {
            place(module.path, project.root): module.lines for module in project.modules.values()
        }

    def of(self, finding: Finding) -> str:
        lines = self._lines.get(finding.path, [])
        text = lines[finding.line - 1].strip() if finding.line <= len(lines) else ""
        return f"{finding.rule} {finding.path} {text}"
