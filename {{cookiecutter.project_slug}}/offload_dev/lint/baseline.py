"""A baseline: a file of old findings, which are not reported again."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from offload_dev.lint.findings import Finding, place
from offload_dev.lint.source import Project


def without_baseline(
    findings: Iterable[Finding], project: Project, baseline: Path
) -> Iterator[Finding]:
    """The findings that the baseline does not have.

    The baseline counts equal findings. If there are more of them now, the rest is new.
    """
    known = Counter(json.loads(baseline.read_text(encoding="utf-8")))
    signatures = _Signatures(project)
    for finding in findings:
        signature = signatures.of(finding)
        if known[signature]:
            known[signature] -= 1
        else:
            yield finding


def write_baseline(findings: Iterable[Finding], project: Project, baseline: Path) -> None:
    """Record today's findings as old ones."""
    signatures = _Signatures(project)
    counts = Counter(map(signatures.of, findings))
    baseline.write_text(json.dumps(dict(sorted(counts.items())), indent=2) + "\n", encoding="utf-8")


class _Signatures:
    """Names findings by rule, file and source line, so that a line may move and stay known."""

    def __init__(self, project: Project) -> None:
        self._lines = {
            place(module.path, project.root): module.lines for module in project.modules.values()
        }

    def of(self, finding: Finding) -> str:
        lines = self._lines.get(finding.path, [])
        text = lines[finding.line - 1].strip() if finding.line <= len(lines) else ""
        return f"{finding.rule} {finding.path} {text}"
