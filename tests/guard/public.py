"""Grades public projects, draws a sample of the findings, and reads the verdicts on it.

1. `python tests/guard/public.py FOLDER` grades every checkout in FOLDER, writes what it counted to
   `public/graded.json`, and draws 100 errors and 100 warnings by `--seed` into Markdown files for
   two readers.
2. The readers write `true` or `false`, and why, below each finding.
3. `python tests/guard/public.py --read FILE…` takes the verdicts into `public/verdicts.csv`.
4. `python tests/guard/public.py --table` writes the table of `docs/public.md`.

`--fetch` brings the projects of `public/graded.json`, at their commits, into FOLDER first.
"""

import argparse
import csv
import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
SERVICE = HERE.parents[1] / "{{cookiecutter.project_slug}}"
DATA = HERE / "public"
GRADED, VERDICTS = DATA / "graded.json", DATA / "verdicts.csv"
PAGE = HERE.parents[1] / "docs" / "public.md"
BEGIN, END = "<!-- table: tests/guard/public.py writes it -->\n", "<!-- end of table -->\n"
# One project may not give more than this many findings of a severity to a sample.
MAX_PER_PROJECT = 8
CONTEXT_LINES = 12
READERS = 2
GRADERS = 8
SECONDS_PER_PROJECT = 300
ASYNC = re.compile(r"^\s*async def ", re.MULTILINE)
TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_\w*|conftest)\.py$")
# The rules about the linter's own comments, and about files that this Python cannot parse.
NOT_DRAWN = "OFF0"
# A step of a chain: `app/views.py:5 view`. A path may have spaces.
STEP = re.compile(r"^(.+?):(\d+) ")
FIELDS = ("project", "commit", "rule", "severity", "path", "line", "verdict", "why")
BLOCK = re.compile(
    r"^## (?P<rule>OFF\d+) (?P<severity>error|warning)\n\n"
    r"(?P<project>\S+) at (?P<commit>\w+), `(?P<path>[^`]+):(?P<line>\d+)`\n"
    r".*?^- verdict: *(?P<verdict>true|false)?\n- why: *(?P<why>[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)


class Graded(NamedTuple):
    """A checkout, what stands in it, and what the linter said of it."""

    project: str
    commit: str
    files: int
    async_functions: int
    findings: list[dict[str, Any]]
    path: Path


def grade(checkout: Path) -> Graded:
    """Run the linter over a checkout, as `python -m offload_dev.lint` does for anybody."""
    command = [sys.executable, "-m", "offload_dev.lint", checkout, "--json", "--fail-on", "never"]
    done = subprocess.run(
        command,
        cwd=SERVICE,
        capture_output=True,
        text=True,
        timeout=SECONDS_PER_PROJECT,
        check=True,
    )
    commit = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in checkout.rglob("*.py")
        if path.is_file() and not TESTS.search(path.relative_to(checkout).as_posix())
    ]
    return Graded(
        checkout.name.replace("__", "/", 1),
        commit,
        len(texts),
        sum(len(ASYNC.findall(text)) for text in texts),
        json.loads(done.stdout)["findings"],
        checkout,
    )


def grade_all(folder: Path) -> list[Graded]:
    """Grade every checkout in a folder, which is named `owner__name`, a few at a time."""
    with ThreadPoolExecutor(GRADERS) as pool:
        return list(pool.map(grade, sorted(path for path in folder.iterdir() if path.is_dir())))


def counts(graded: Iterable[Graded], seed: int) -> dict[str, Any]:
    """What `graded.json` holds: the linter's commit, and for each project how much was found."""
    linter = subprocess.run(
        ["git", "-C", HERE, "log", "-1", "--format=%H", "--", SERVICE / "offload_dev" / "lint"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    projects = {}
    for each in graded:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for finding in each.findings:
            found[finding["severity"]][finding["rule"]] += 1
        projects[each.project] = {
            "commit": each.commit,
            "files": each.files,
            "async_functions": each.async_functions,
            **{severity: dict(sorted(rules.items())) for severity, rules in sorted(found.items())},
        }
    return {"linter": linter, "seed": seed, "projects": projects}


def draw(
    graded: Iterable[Graded], severity: str, count: int, seed: int
) -> list[tuple[Graded, dict[str, Any]]]:
    """Findings at random, with a bound only on how many come from one project."""
    all_found = [
        (each, finding)
        for each in graded
        for finding in each.findings
        if finding["severity"] == severity and not finding["rule"].startswith(NOT_DRAWN)
    ]
    random.Random(f"{severity} {seed}").shuffle(all_found)
    drawn, taken = [], Counter[str]()
    for each, finding in all_found:
        if taken[each.project] < MAX_PER_PROJECT and len(drawn) < count:
            taken[each.project] += 1
            drawn.append((each, finding))
    return drawn


def sheet(drawn: Iterable[tuple[Graded, dict[str, Any]]]) -> str:
    """The findings for a reader, each with the lines around it and room for the verdict."""
    return "\n".join(_to_read(each, finding) for each, finding in drawn)


def _to_read(graded: Graded, finding: dict[str, Any]) -> str:
    where = f"{finding['path']}:{finding['line']}"
    chain = "".join(f"\n- calls `{step}`" for step in finding["chain"][1:])
    likely = f"\n- likely: {finding['likely']}" if finding["likely"] else ""
    shown = _context(graded.path / finding["path"], finding["line"])
    if finding["chain"]:
        path, line = STEP.findall(finding["chain"][-1])[0]
        shown += f"\n...\n# {path}\n" + _context(graded.path / path, int(line))
    return (
        f"## {finding['rule']} {finding['severity']}\n\n"
        f"{graded.project} at {graded.commit[:12]}, `{where}`\n\n"
        f"{finding['message']}\n\n- instead: {finding['instead']}{likely}{chain}\n\n"
        f"```python\n{shown}\n```\n\n- verdict:\n- why:\n"
    )


def _context(path: Path, line: int) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first = max(0, line - 1 - CONTEXT_LINES // 2)
    return "\n".join(
        f"{'>' if number == line else ' '} {number:5} {text}"
        for number, text in enumerate(lines[first : first + CONTEXT_LINES + 1], first + 1)
    )


def read(texts: Iterable[str]) -> Iterator[dict[str, str]]:
    """The verdicts in sheets that have been read.

    Raises:
        ValueError: if a finding has no verdict yet.
    """
    for text in texts:
        for found in BLOCK.finditer(text):
            row = {field: found[field] or "" for field in FIELDS}
            if not row["verdict"]:
                raise ValueError(f"{row['project']} {row['path']}:{row['line']} has no verdict")
            yield row


def verdicts() -> list[dict[str, str]]:
    """What the readers said, as it is kept."""
    if not VERDICTS.exists():
        return []
    with VERDICTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def keep(rows: Iterable[dict[str, str]]) -> None:
    """Write the verdicts, in the order of projects and lines."""
    order = sorted(rows, key=lambda row: (row["project"], row["path"], int(row["line"])))
    with VERDICTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(order)


def table(graded: dict[str, Any], rows: list[dict[str, str]]) -> str:
    """The tables of `docs/public.md`: by severity, by rule, and by project.

    They begin with the linter that was judged, by its commit.
    """
    source = f"The linter at {graded['linter'][:12]}, seed {graded['seed']}.\n"
    return "\n".join((source, _shares(rows), _of_rules(rows), _of_projects(graded), _false(rows)))


def _share(rows: list[dict[str, str]]) -> str:
    true = sum(row["verdict"] == "true" for row in rows)
    return f"{len(rows)} | {true} | {true / len(rows):.0%}" if rows else "0 | 0 |"


def _shares(rows: list[dict[str, str]]) -> str:
    lines = ["| severity | drawn | true | share |", "|---|---|---|---|"]
    for severity in ("error", "warning"):
        lines.append(f"| {severity} | {_share(_of(rows, severity=severity))} |")
    return "\n".join(lines) + "\n"


def _of_rules(rows: list[dict[str, str]]) -> str:
    lines = ["| rule | severity | drawn | true | share |", "|---|---|---|---|---|"]
    for rule, severity in sorted({(row["rule"], row["severity"]) for row in rows}):
        share = _share(_of(rows, rule=rule, severity=severity))
        lines.append(f"| {rule} | {severity} | {share} |")
    return "\n".join(lines) + "\n"


def _of_projects(graded: dict[str, Any]) -> str:
    lines = [
        "| project | commit | files | async functions | errors | warnings |",
        "|---|---|---|---|---|---|",
    ]
    for name, of in graded["projects"].items():
        link = f"[{of['commit'][:12]}](https://github.com/{name}/tree/{of['commit']})"
        errors, warnings = (_drawable(of.get(each, {})) for each in ("error", "warning"))
        sizes = f"{of['files']} | {of['async_functions']} | {errors} | {warnings}"
        lines.append(f"| {name} | {link} | {sizes} |")
    return "\n".join(lines) + "\n"


def _drawable(rules: dict[str, int]) -> int:
    return sum(count for rule, count in rules.items() if not rule.startswith(NOT_DRAWN))


def _false(rows: list[dict[str, str]]) -> str:
    lines = ["| false finding | rule | why it is false |", "|---|---|---|"]
    for row in rows:
        if row["verdict"] == "false":
            where = f"{row['project']} `{row['path']}:{row['line']}`"
            lines.append(f"| {where} | {row['rule']} {row['severity']} | {row['why']} |")
    return "\n".join(lines) + "\n"


def _of(rows: Iterable[dict[str, str]], **wanted: str) -> list[dict[str, str]]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def fetch(folder: Path) -> None:
    """Bring the projects of `graded.json`, at their commits, from GitHub."""
    for name, of in json.loads(GRADED.read_text())["projects"].items():
        checkout = folder / name.replace("/", "__", 1)
        if not checkout.exists():
            checkout.mkdir(parents=True)
            run = ["git", "-C", str(checkout)]
            url = f"https://github.com/{name}.git"
            subprocess.run([*run, "init", "--quiet"], check=True)
            subprocess.run([*run, "fetch", "--quiet", "--depth=1", url, of["commit"]], check=True)
            subprocess.run([*run, "checkout", "--quiet", "FETCH_HEAD"], check=True)


def write_sheets(graded: list[Graded], options: argparse.Namespace) -> None:
    """Write the drawn findings, dealt to the readers in turn."""
    for severity, count in (("error", options.errors), ("warning", options.warnings)):
        drawn = draw(graded, severity, count, options.seed)
        for reader in range(READERS):
            path = options.sheets / f"{severity}s-{reader + 1}.md"
            path.write_text(sheet(drawn[reader::READERS]))


def renew_page() -> None:
    """Write the table into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    new = table(json.loads(GRADED.read_text()), verdicts())
    PAGE.write_text(before + BEGIN + new + END + rest.partition(END)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="checkouts named owner__name")
    parser.add_argument("--fetch", action="store_true", help="bring the graded projects first")
    parser.add_argument("--errors", type=int, default=100, help="how many to draw")
    parser.add_argument("--warnings", type=int, default=100, help="how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same findings")
    parser.add_argument("--sheets", type=Path, default=Path(), help="where to write the sheets")
    parser.add_argument("--read", type=Path, nargs="+", help="take the verdicts of these sheets")
    parser.add_argument("--table", action="store_true", help="write the table of docs/public.md")
    options = parser.parse_args()

    if options.folder:
        if options.fetch:
            fetch(options.folder)
        graded = grade_all(options.folder)
        DATA.mkdir(exist_ok=True)
        GRADED.write_text(json.dumps(counts(graded, options.seed), indent=1) + "\n")
        write_sheets(graded, options)
    if options.read:
        keep(read(path.read_text() for path in options.read))
    if options.table:
        renew_page()


if __name__ == "__main__":
    main()
