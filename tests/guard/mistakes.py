"""Reads mistakes that others made, and measures the nets: `python tests/guard/mistakes.py`.

A case of `mistakes/` is caught where a net says of the mistake what it does not say of its mend.
The parts in `READ` were read while the rules were changed. Of those in `UNREAD` only the figure is
printed: nobody who works on a rule reads these cases, or what the linter says of one of them.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nets
from differences import FILE, half_of, lay_out

MISTAKES = Path(__file__).parent / "mistakes"
READ = ("fixes_read", "issues_learned", "issues_opened", "strangers_opened", "strangers_again")
UNREAD = ("fixes_held_back", "issues_unseen", "strangers_unread")
CASE = re.compile(
    r"^## (?P<name>\S+)\n- Source: (?P<source>\S+)\n- What: [^\n]+\n"
    r"(?:- Expect: (?P<expect>OFF\d+)\n)?(?P<files>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
# What mypy learns of the libraries: else it takes 3 s for each half.
CACHE = Path(__file__).parents[2] / "build" / "mypy"
# What a net says: where (a file and its line of text) and by which number.
Said = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Mistake:
    """A mistake that somebody made, and its mend.

    Args:
        kind: the file that describes it.
        source: the address of the commit, the issue or the pull request.
        expect: the number that the linter gives to the mistake; None where it gives none.
        files: the differences, by file, as in `mends.Mend`.
    """

    kind: str
    name: str
    source: str
    expect: str | None
    files: dict[str, str]

    def lay_out(self, half: str, folder: Path) -> Path:
        """Write one half, `wrong` or `right`, as a package in a folder; returns the folder."""
        return lay_out(half_of(self.files, half), folder)


@dataclass(frozen=True)
class Measured:
    """What the nets say of the two halves of a mistake.

    Args:
        numbers: those by which the mistake is caught; empty where no net sees it.
        accused: the numbers of the linter's errors in the mend: each is a false accusation.
    """

    numbers: set[str]
    accused: tuple[str, ...]


def read(part: str) -> list[Mistake]:
    """All mistakes of a part: one of `READ` or `UNREAD`."""
    return [
        Mistake(
            path.stem,
            found["name"],
            found["source"],
            found["expect"],
            dict(FILE.findall(found["files"])),
        )
        for path in sorted((MISTAKES / part).glob("*.md"))
        for found in CASE.finditer(path.read_text())
    ]


def line_of(tree: Path, path: str, number: int) -> str:
    """A line's text without indentation: its number moves with what was mended above it."""
    lines = (tree / path).read_text().splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def lint(tree: Path) -> tuple[Said, tuple[str, ...]]:
    """What the linter says, and the numbers of its errors."""
    command = [sys.executable, "-m", "offload_dev.lint", "--json", "--fail-on", "never", tree]
    findings = json.loads(nets.run(tree, *command))["findings"]
    said = Counter(
        (found["path"], line_of(tree, found["path"], found["line"]), found["rule"])
        for found in findings
    )
    return said, tuple(found["rule"] for found in findings if found["severity"] == "error")


def ruff(tree: Path) -> Said:
    """What ruff says with the configuration of a generated project."""
    printed = nets.run(
        tree,
        *("ruff", "check", "--no-cache", "--output-format", "concise"),
        *("--config", nets.STANDARD / "ruff.toml", "."),
    )
    found = re.findall(r"^(\S+\.py):(\d+):\d+: (\w+)", printed, re.MULTILINE)
    return Counter((path, line_of(tree, path, int(line)), rule) for path, line, rule in found)


def mypy(tree: Path) -> Said:
    """What mypy says of coroutines, and of nothing else."""
    options = ["--ignore-missing-imports", "--follow-imports", "silent"]
    printed = nets.run(
        tree,
        *("mypy", *options, "--enable-error-code", "unused-awaitable"),
        *("--explicit-package-bases", "--cache-dir", CACHE, "."),
    )
    found = re.findall(
        r"^(\S+\.py):(\d+): error: .*\[(unused-coroutine|unused-awaitable|truthy-function)\]",
        printed,
        re.MULTILINE,
    )
    return Counter((path, line_of(tree, path, int(line)), rule) for path, line, rule in found)


def measure(mistake: Mistake, *, only_lint: bool) -> Measured:
    """Run the nets over both halves of a mistake."""
    said, accused = {}, ()
    with tempfile.TemporaryDirectory() as folder:
        for half in ("wrong", "right"):
            tree = mistake.lay_out(half, Path(folder, half))
            said[half], accused = lint(tree)
            if not only_lint:
                said[half] += ruff(tree) + mypy(tree)
    numbers = {number for _, _, number in said["wrong"] - said["right"]}
    return Measured(numbers, accused)


def figures(part: str, cases: Iterable[Measured]) -> str:
    """One line: how many were caught, and how many mends were accused with an error."""
    every = list(cases)
    caught = sum(bool(case.numbers) for case in every)
    accused = sum(bool(case.accused) for case in every)
    return (
        f"{part}: {caught} of {len(every)} caught before run time ({caught / len(every):.0%}), "
        f"{accused} mends accused with an error"
    )


def main() -> None:
    """Print what is seen of each case that may be read, and the figures of all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-lint", action="store_true", help="without ruff and mypy")
    only_lint = parser.parse_args().only_lint
    for part in (*READ, *UNREAD):
        mistakes = read(part)
        cases = [measure(each, only_lint=only_lint) for each in mistakes]
        for mistake, case in zip(mistakes, cases, strict=True) if part in READ else ():
            accused = f"   ACCUSED {', '.join(case.accused)}" if case.accused else ""
            numbers = ", ".join(sorted(case.numbers)) or "-"
            print(f"{mistake.kind:<10} {mistake.name:<45} {numbers}{accused}")
        print(figures(part, cases))


if __name__ == "__main__":
    main()
