"""`python -m offload_dev.lint PATH`: grades any Django source tree, needing nothing but Python."""

import argparse
import json
import sys
from pathlib import Path

from offload_dev.lint.debts import without_baseline, without_waived, write_baseline
from offload_dev.lint.findings import DOCS, RULES, Finding, grades, place
from offload_dev.lint.graph import Graph
from offload_dev.lint.rooms import crossings
from offload_dev.lint.source import Project


def grade(project: Project) -> list[Finding]:
    """Every finding of the written net in a project, waivers applied, in the order of files and
    lines.
    """
    unreadable = [
        Finding(place(path, project.root), line, "OFF001", error)
        for path, line, error in project.unreadable
    ]
    findings = {*unreadable, *Graph(project).findings(), *crossings(project)}
    return sorted(without_waived(findings, project))


def as_text(finding: Finding) -> str:
    """A finding for people: place, number, what, the chain, what instead, where to read on."""
    rule = RULES[finding.rule]
    chain = "".join(
        f"\n    {'calls ' if step else 'from  '}{where}" for step, where in enumerate(finding.chain)
    )
    return (
        f"{finding.path}:{finding.line}: {finding.severity} {finding.rule} {finding.message}{chain}"
        f"\n    instead: {rule.instead}  ({DOCS}{finding.rule}.md)"
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 nothing at or above `--fail-on`; 1 something; 2 cannot be run as asked."""
    parser = argparse.ArgumentParser(prog="python -m offload_dev.lint", description=__doc__)
    parser.add_argument("path", type=Path, help="a project's directory, or one file")
    parser.add_argument("--json", action="store_true", help="print findings and grades as JSON")
    parser.add_argument("--fail-on", choices=("error", "warning", "never"), default="error")
    parser.add_argument(
        "--baseline", type=Path, help="a file of old findings that are not reported again"
    )
    parser.add_argument(
        "--write-baseline", type=Path, help="record today's findings in a file, and stop"
    )
    options = parser.parse_args(arguments)
    for path in filter(None, (options.path, options.baseline)):
        if not path.exists():
            parser.error(
                f"{path} does not exist: give a directory of Python source, and a baseline written before"
            )
    project = Project(options.path)
    findings = grade(project)
    if options.write_baseline:
        write_baseline(findings, project, options.write_baseline)
        return 0
    if options.baseline:
        findings = list(without_baseline(findings, project, options.baseline))
    letters = grades(findings)
    if options.json:
        report = json.dumps(
            {"findings": [finding.as_json() for finding in findings], "grades": letters}, indent=2
        )
    else:
        summary = "  ".join(["grades:", *(f"{area} {letter}" for area, letter in letters.items())])
        report = "\n".join([*map(as_text, findings), summary])
    sys.stdout.write(f"{report}\n")
    severities = {finding.severity for finding in findings}
    failing = {"error": {"error"}, "warning": {"error", "warning"}, "never": set()}[options.fail_on]
    return 1 if severities & failing else 0


if __name__ == "__main__":
    sys.exit(main())
