"""Measures the nets on mistakes that others made and mended: `python tests/guard/fixes.py`.

A case of `fixes/` is caught where a net says of `wrong/` what it does not say of `right/`. Every
third case is the unread third: of it only the figures are printed.
"""

import argparse
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nets

FIXES = Path(__file__).parent / "fixes"
# Every third case is held back: nobody who works on a rule reads it.
HELD_BACK = 3
# What mypy learns of the libraries: else it takes 3 s for each half.
CACHE = Path(__file__).parents[2] / "build" / "mypy"
# What a net says: where (a file and its line of text) and by which number.
Said = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Case:
    """One mistake, and what the nets say of its two halves."""

    name: str
    kind: str
    wrong: Said
    right: Said
    # The numbers of the errors in `right/`: each is a false accusation.
    accused: tuple[str, ...]

    @property
    def is_held_back(self) -> bool:
        return int(self.name.partition("-")[0]) % HELD_BACK == 0

    @property
    def numbers(self) -> set[str]:
        """The numbers by which it is caught; none where no net sees the mistake."""
        return {number for _, _, number in self.wrong - self.right}


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


def measure(folder: Path) -> Case:
    """Run the nets over both halves of a case."""
    described = tomllib.loads((folder / "case.toml").read_text())
    wrong, right = folder / "wrong", folder / "right"
    said_of_wrong, _ = lint(wrong)
    said_of_right, accused = lint(right)
    return Case(
        folder.name,
        described["kind"],
        said_of_wrong + ruff(wrong) + mypy(wrong),
        said_of_right + ruff(right) + mypy(right),
        accused,
    )


def figures(name: str, cases: Iterable[Case]) -> str:
    """One line: how many were caught, and how many right halves were accused with an error."""
    every = list(cases)
    caught = sum(bool(case.numbers) for case in every)
    accused = sum(bool(case.accused) for case in every)
    return (
        f"{name}: {caught} of {len(every)} caught before run time ({caught / len(every):.0%}), "
        f"{accused} right halves accused with an error"
    )


def main() -> None:
    """Print what is seen of each case that may be read, and the figures of both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixes", type=Path, default=FIXES)
    folder = parser.parse_args().fixes
    cases = [measure(path.parent) for path in sorted(folder.glob("*/case.toml"))]
    seen = [case for case in cases if not case.is_held_back]
    for case in seen:
        accused = f"   ACCUSED {', '.join(case.accused)}" if case.accused else ""
        caught = ", ".join(sorted(case.numbers)) or "-"
        print(f"{case.name:<45} {case.kind:<10} {caught}{accused}")
    print(figures("read", seen))
    print(figures("held back", (case for case in cases if case.is_held_back)))


if __name__ == "__main__":
    main()
