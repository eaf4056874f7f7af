"""What may stay: waivers beside the line, each with its reason, and a baseline of old findings."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, generate_tokens

from offload_dev.lint.findings import Finding, place
from offload_dev.lint.source import Module, Project

WAIVER = re.compile(r"#\s*offload:\s*allow\s+(OFF\d{3})\s*:?\s*(.*)")


def without_waived(findings: Iterable[Finding], project: Project) -> Iterator[Finding]:
    """The findings that no waiver covers, and what is wrong with the waivers themselves.

    A waiver stands on the line of the finding, or on the line at the end of its chain, which
    excuses every way there; or alone on the line above either: `# offload: allow OFF103: reason`.
    """
    waivers = {
        (place(module.path, project.root), line, rule): reason
        for module in project.modules.values()
        for line, rule, reason in _waivers(module)
    }
    used = set()
    for finding in findings:
        covering = {(path, line, finding.rule) for path, line in _places(finding)} & waivers.keys()
        if any(waivers[key] for key in covering):
            used |= covering
        else:
            yield finding
    for key in waivers.keys() - used:
        path, line, rule = key
        yield Finding(path, line, "OFF003" if waivers[key] else "OFF002", rule)


def _places(finding: Finding) -> Iterator[tuple[str, int]]:
    yield finding.path, finding.line
    if finding.chain:
        path, _, line = finding.chain[-1].partition(" ")[0].rpartition(":")
        yield path, int(line)


def _waivers(module: Module) -> Iterator[tuple[int, str, str]]:
    if "offload:" not in module.text:
        return
    for token in generate_tokens(StringIO(module.text).readline):
        if token.type == COMMENT and (found := WAIVER.search(token.string)):
            alone = token.line.lstrip().startswith("#")
            yield token.start[0] + alone, found[1], found[2].strip()


def signature(finding: Finding, project: Project) -> str:
    """A finding's name in a baseline: its rule, file and line of source, so that it survives lines
    moving about it.
    """
    lines = next(
        (m.lines for m in project.modules.values() if place(m.path, project.root) == finding.path),
        [],
    )
    text = lines[finding.line - 1].strip() if finding.line <= len(lines) else ""
    return f"{finding.rule} {finding.path} {text}"


def without_baseline(
    findings: Iterable[Finding], project: Project, baseline: Path
) -> Iterator[Finding]:
    """The findings that the baseline does not know: of equal ones, as many as it counts are old."""
    known = Counter(json.loads(baseline.read_text(encoding="utf-8")))
    for finding in findings:
        name = signature(finding, project)
        if known[name]:
            known[name] -= 1
        else:
            yield finding


def write_baseline(findings: Iterable[Finding], project: Project, baseline: Path) -> None:
    """Record today's findings as old debts."""
    counts = Counter(signature(finding, project) for finding in findings)
    baseline.write_text(json.dumps(dict(sorted(counts.items())), indent=2) + "\n", encoding="utf-8")
