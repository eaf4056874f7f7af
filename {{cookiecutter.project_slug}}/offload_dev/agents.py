"""Writes AGENTS.md and a skill, which tell coding assistants the rule: `make agents`.

AGENTS.md is read at the begin of each task, and the skill when a feature is written. Their commands
come from the Makefile, their numbers and libraries from the linter. What a team writes above or
below the marks stays.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

import offload_dev.lint.rules  # noqa: F401, it registers the rules
from offload_dev.lint.checks.registry import RULES
from offload_dev.lint.origins.libraries import Library, load

PROJECT = Path(__file__).parents[1]
# Each page, and the text between its marks.
PAGES = {
    PROJECT / "AGENTS.md": Path(__file__).with_name("agents.txt"),
    PROJECT / ".agents/skills/write-a-feature/SKILL.md": Path(__file__).with_name("skill.txt"),
}
BEGIN = "<!-- offload: `make agents` writes what stands between these marks -->"
END = "<!-- offload: end -->"
# What each change of code needs. `make help` lists all.
COMMANDS = ("feature", "test", "check", "openapi")
# The numbers about the linter's own comments.
OWN_AREA = "0"


def block(template: Path) -> str:
    """The text from mark to mark."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    helps = dict(re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, re.MULTILINE))
    commands = [f"- `make {name}`: {helps[name]}" for name in COMMANDS]
    rules = [
        f"| {rule.number} | {rule.message} | {rule.instead} |"
        for rule in RULES.values()
        if rule.number[3] != OWN_AREA
    ]
    libraries = list(load(PROJECT))
    text = Template(template.read_text(encoding="utf-8")).substitute(
        begin=BEGIN,
        end=END,
        commands="\n".join(commands),
        rules="\n".join(rules),
        waiting=_waiting(libraries),
        computing=_names(each for each in libraries if _lists(each, "computes")),
    )
    return text.strip()


def _lists(library: Library, *kinds: str) -> bool:
    return any(kind in library.lists for kind in kinds)


def _names(libraries: Iterable[Library]) -> str:
    return ", ".join(f"`{each.name}`" for each in libraries)


def _waiting(libraries: list[Library]) -> str:
    """A row for each advice, with the libraries whose calls it is for."""
    rows: dict[str, list[Library]] = {}
    for library in libraries:
        if _lists(library, "blocks", "may_block"):
            has_counterpart = library.counterpart and not library.write
            of_call = library.advice("client.call")
            advice = f"`{library.counterpart}`" if has_counterpart else of_call
            rows.setdefault(advice, []).append(library)
    return "\n".join(f"| {_names(found)} | {advice} |" for advice, found in rows.items())


def with_block(text: str, template: Path) -> str:
    """A page with the current block; a text without marks gets it at its end."""
    head, begin, rest = text.partition(BEGIN)
    foot = rest.partition(END)[2] if begin else "\n"
    return f"{head}{block(template)}{foot}"


def main() -> None:
    """Write the pages."""
    for page, template in PAGES.items():
        text = page.read_text(encoding="utf-8") if page.exists() else "# For coding assistants\n\n"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(with_block(text, template), encoding="utf-8")


if __name__ == "__main__":
    main()
