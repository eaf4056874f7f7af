"""Findings as text, as JSON, and as annotations of a pull request on GitHub."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from offload_dev.lint.report.findings import Finding, grades
from offload_dev.lint.report.sarif import as_sarif, from_here

Report = Callable[[list[Finding], Path], str]


def as_text(findings: list[Finding], root: Path) -> str:
    """For people: each finding, and the grades. Files are named as an editor opens them here."""
    letters = (f"{area} {letter}" for area, letter in grades(findings).items())
    summary = "  ".join(["grades:", *letters])
    return "\n".join([*(_seen_from_here(each, root).as_text() for each in findings), summary])


def _seen_from_here(finding: Finding, root: Path) -> Finding:
    """A finding with its files relative to the working directory, if they are below it."""
    folder = root.resolve()
    here = Path.cwd().resolve()
    if not folder.is_dir() or not folder.is_relative_to(here):
        return finding

    def seen(place: str) -> str:
        # A path that is joined to an absolute one stays as it is.
        return (folder.relative_to(here) / place).as_posix()

    return replace(finding, path=seen(finding.path), chain=tuple(map(seen, finding.chain)))


def as_json(findings: list[Finding], _: Path) -> str:
    """For programs."""
    report = {"findings": [each.as_json() for each in findings], "grades": grades(findings)}
    return json.dumps(report, indent=2)


def as_annotations(findings: list[Finding], root: Path) -> str:
    """The commands by which a step of GitHub Actions writes beside a pull request's lines."""
    return "\n".join(_annotation(finding, root) for finding in findings)


def _annotation(finding: Finding, root: Path) -> str:
    chain = [f"calls {step}" for step in finding.chain[1:]]
    likely = [f"likely: {finding.likely}"] if finding.likely else []
    text = "\n".join([finding.message, *chain, *likely, f"instead: {finding.instead}"])
    file = _escaped(from_here(finding.path, root)).replace(":", "%3A").replace(",", "%2C")
    place = f"file={file},line={finding.line},title={finding.rule}"
    return f"::{finding.severity} {place}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


REPORTS: dict[str, Report] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_annotations,
}
