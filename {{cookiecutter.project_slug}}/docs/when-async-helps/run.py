"""`python docs/when-async-helps/run.py computing`: runs the Python of a page, top to bottom, as one
program.

The tests run every page so. Line numbers in a traceback are the page's own.
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
    """The page with everything but its ```python blocks made blank."""
    kept, inside = [], False
    for line in page.splitlines():
        if re.match(r"```", line):
            inside = line.startswith("```python")
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept)


def main() -> None:
    """Run one page against a database of its own."""
    if len(sys.argv) != 2 or sys.argv[1] not in PAGES:
        sys.exit(f"Say which page: {', '.join(PAGES)}")
    path = HERE / f"{sys.argv[1]}.md"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/db.sqlite3"
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
        import django
        from django.core.management import call_command

        django.setup()
        # The pages print what came of their calls.
        logging.getLogger("offload.fanout").setLevel(logging.ERROR)
        call_command("migrate", verbosity=0)
        # A name under which a forked process finds its functions.
        page = sys.modules["page"] = ModuleType("page")
        exec(compile(python_of(path.read_text()), path, "exec"), vars(page))  # noqa: S102 - the page is ours


if __name__ == "__main__":
    main()
