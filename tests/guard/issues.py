"""Reads mistakes that others reported, and measures the nets: `python tests/guard/issues.py`.

`issues/learned/` and `issues/opened/` were read while the rules were changed; of `issues/unseen/`
only the figure is printed.
"""

import argparse
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mends
from fixes import Case, figures, lint, mypy, ruff

ISSUES = Path(__file__).parent / "issues"
CASE = re.compile(
    r"^## (?P<name>\S+)\n- Source: (?P<source>\S+)\n- What: [^\n]+\n"
    r"(?:- Expect: (?P<expect>OFF\d+)\n)?(?P<files>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Issue:
    """A mistake that somebody reported, and its mend.

    Args:
        kind: the file that describes it.
        source: the address of the issue or of the pull request.
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
        return mends.lay_out(mends.half_of(self.files, half), folder)


def read(part: str) -> list[Issue]:
    """All mistakes of a part: `learned`, `opened` or `unseen`."""
    return [
        Issue(
            path.stem,
            found["name"],
            found["source"],
            found["expect"],
            dict(mends.FILE.findall(found["files"])),
        )
        for path in sorted((ISSUES / part).glob("*.md"))
        for found in CASE.finditer(path.read_text())
    ]


def measure(issue: Issue, folder: Path, *, only_lint: bool) -> Case:
    """Run the nets over both halves of a mistake."""
    halves = {}
    for half in ("wrong", "right"):
        tree = issue.lay_out(half, folder / issue.name / half)
        said, errors = lint(tree)
        halves[half] = (said if only_lint else said + ruff(tree) + mypy(tree)), errors
    (wrong, _), (right, accused) = halves["wrong"], halves["right"]
    return Case(issue.name, issue.kind, wrong, right, accused)


def measured(issues: Iterable[Issue], *, only_lint: bool) -> list[Case]:
    with tempfile.TemporaryDirectory() as folder:
        return [measure(issue, Path(folder), only_lint=only_lint) for issue in issues]


def main() -> None:
    """Print what is seen of each case that may be read, and the figures of both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-lint", action="store_true", help="without ruff and mypy")
    only_lint = parser.parse_args().only_lint
    for part in ("learned", "opened"):
        cases = measured(read(part), only_lint=only_lint)
        for case in cases:
            accused = f"   ACCUSED {', '.join(case.accused)}" if case.accused else ""
            numbers = ", ".join(sorted(case.numbers)) or "-"
            print(f"{case.kind:<10} {case.name:<45} {numbers}{accused}")
        print(figures(part, cases))
    print(figures("unseen", measured(read("unseen"), only_lint=only_lint)))


if __name__ == "__main__":
    main()
