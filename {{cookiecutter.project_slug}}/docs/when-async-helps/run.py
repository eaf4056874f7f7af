"""Runs the Python blocks of a page as one program.

`.venv/bin/python docs/when-async-helps/run.py computing` runs the page `computing.md`. The tests
run every page in the same way. Line numbers in a traceback are line numbers of the page.
"""

import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
PAGES = sorted(page.stem for page in HERE.glob("*.md") if "```python" in page.read_text())


def python_of(page: str) -> str:
    """The page's ```python blocks; every other line is empty, so line numbers stay the same."""
    kept, inside = [], False
    for line in page.splitlines():
        if re.match(r"```", line):
            inside = line.startswith("```python")
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept)


def main() -> None:
    """Run one page with its own database."""
    if len(sys.argv) != 2 or sys.argv[1] not in PAGES:
        sys.exit(f"Name one page: {', '.join(PAGES)}")
    path = HERE / f"{sys.argv[1]}.md"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/db.sqlite3"
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
        import django
        from django.core.management import call_command

        django.setup()
        # The pages print the outcomes of their calls, so the log lines would only repeat them.
        logging.getLogger("offload.fanout").setLevel(logging.ERROR)
        call_command("migrate", verbosity=0)
        # The page is a module, so that a forked process finds its functions by name.
        page = sys.modules["page"] = ModuleType("page")
        # The page is ours.
        exec(compile(python_of(path.read_text()), path, "exec"), vars(page))  # noqa: S102


if __name__ == "__main__":
    main()
