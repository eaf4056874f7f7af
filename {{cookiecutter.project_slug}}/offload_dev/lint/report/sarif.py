"""Findings as SARIF 2.1.0, which code hosts and editors read."""

import json
from pathlib import Path
from typing import Any

from offload_dev.lint.checks.registry import RULES, Rule
from offload_dev.lint.report import pages
from offload_dev.lint.report.findings import Finding, read_step

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
Object = dict[str, Any]


def as_sarif(findings: list[Finding], root: Path) -> str:
    """One run with all findings. A chain of calls is a code flow."""
    numbers = sorted({finding.rule for finding in findings})
    run = {
        "tool": {
            "driver": {"name": "offload_dev.lint", "rules": [_rule(RULES[n]) for n in numbers]}
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, root, numbers) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def from_here(path: str, root: Path) -> str:
    """A finding's file relative to the working directory, as code hosts want it."""
    file = (root / path if root.is_dir() else Path(path)).resolve()
    here = Path.cwd().resolve()
    return file.relative_to(here).as_posix() if file.is_relative_to(here) else file.as_uri()


def _rule(rule: Rule) -> Object:
    return {
        "id": rule.number,
        "shortDescription": {"text": rule.message},
        "help": {
            "text": f"Instead: {rule.instead}.",
            "markdown": pages.read(rule.number) or f"Instead: {rule.instead}.",
        },
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(finding: Finding, root: Path, numbers: list[str]) -> Object:
    likely = f" Likely: {finding.likely}." if finding.likely else ""
    result: Object = {
        "ruleId": finding.rule,
        "ruleIndex": numbers.index(finding.rule),
        "level": finding.severity,
        "message": {"text": f"{finding.message}.{likely} Instead: {finding.instead}."},
        "locations": [_location(finding.path, finding.line, root)],
    }
    if finding.chain:
        steps = [{"location": _step(step, root)} for step in finding.chain]
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _step(step: str, root: Path) -> Object:
    path, line, name = read_step(step)
    return _location(path, line, root) | {"message": {"text": name}}


def _location(path: str, line: int, root: Path) -> Object:
    file = {"uri": from_here(path, root)}
    return {"physicalLocation": {"artifactLocation": file, "region": {"startLine": line}}}
