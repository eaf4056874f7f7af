"""Writes AGENTS.md, which tells coding assistants the rule: `make agents`.

Its commands come from the Makefile, and its numbers from the linter. What a team writes above or
below the marks stays.
"""

import re
from pathlib import Path
from string import Template

import offload_dev.lint.rules  # noqa: F401, it registers the rules
from offload_dev.lint.registry import RULES

PROJECT = Path(__file__).parents[1]
FILE = PROJECT / "AGENTS.md"
TEMPLATE = Path(__file__).with_name("agents.txt")
BEGIN = "<!-- offload: `make agents` writes what stands between these marks -->"
END = "<!-- offload: end -->"
# What somebody needs who changes code. `make help` lists all.
COMMANDS = ("dev", "feature", "test", "check", "fix", "openapi", "contract")
# The numbers about the linter's own comments.
OWN_AREA = "0"


def block() -> str:
    """The text from mark to mark."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    helps = dict(re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, re.MULTILINE))
    commands = [f"- `make {name}`: {helps[name]}" for name in COMMANDS]
    rules = [
        f"| {rule.number} | {rule.message} | {rule.instead} |"
        for rule in RULES.values()
        if rule.number[3] != OWN_AREA
    ]
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        begin=BEGIN, end=END, commands="\n".join(commands), rules="\n".join(rules)
    ).strip()


def with_block(text: str) -> str:
    """AGENTS.md with the current block; a text without marks gets it at its end."""
    head, begin, rest = text.partition(BEGIN)
    foot = rest.partition(END)[2] if begin else "\n"
    return f"{head}{block()}{foot}"


def main() -> None:
    """Write the file."""
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else "# For coding assistants\n\n"
    FILE.write_text(with_block(text), encoding="utf-8")


if __name__ == "__main__":
    main()
