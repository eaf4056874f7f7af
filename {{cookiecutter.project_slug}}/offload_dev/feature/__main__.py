"""`python -m offload_dev.feature PACKAGE NAME [--models]`: adds a feature to this service.

It writes the files of `layout.py`, registers the app, the routes and the address of the feature's
upstream, and renews the pages that list them. Nothing is written if one of these files is there
already, if a place to write to is missing, or if the service cannot be imported.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from offload_dev.environment_page import PAGE
from offload_dev.feature.layout import files_of
from offload_dev.feature.naming import fault_of
from offload_dev.feature.registration import edits_of
from offload_dev.feature.rollback import taken_back_on_failure
from offload_dev.openapi_document import DOCUMENT


def main() -> int:
    """Lay out one feature; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make feature", description=__doc__)
    parser.add_argument("package")
    parser.add_argument("name")
    parser.add_argument("--models", action="store_true", help="with models.py and admin.py")
    arguments = parser.parse_args()

    fault = fault_of(arguments.name)
    if fault:
        sys.exit(f"NAME={arguments.name}: {fault}")

    files = files_of(arguments.package, arguments.name, models=arguments.models)
    existing = [str(path) for path in files if path.exists()]
    if existing:
        sys.exit(f"There already: {', '.join(existing)}. Choose another NAME.")
    edits = edits_of(arguments.package, arguments.name)

    folder = Path(arguments.package, arguments.name)
    written = [*files, *edits, PAGE, DOCUMENT]
    try:
        with taken_back_on_failure(folder, written):
            _write(files | edits, arguments.name, models=arguments.models)
    except subprocess.CalledProcessError as error:
        failed = " ".join(error.cmd[1:3])
        sys.exit(f"`{failed}` failed, as you see above: nothing was written. Correct it first.")

    written += folder.glob("migrations/0*.py")
    _say(arguments.name, written)
    return 0


def _write(texts: dict[Path, str], name: str, *, models: bool) -> None:
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if models:
        _run("manage.py", "makemigrations", name)
    # Whether a line fits depends on the feature's name.
    _run("-m", "ruff", "format", "--quiet", *(str(path) for path in texts))
    _run("-m", "offload_dev.environment_page")
    _run("-m", "offload_dev.openapi_document")


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True)


def _say(name: str, paths: list[Path]) -> None:
    lines = [
        "Written:",
        *(f"  {path}" for path in paths),
        f"Try it:  make dev, then GET /api/{name}/now and POST /api/{name}/compute",
        f"Test it: make test ARGS=tests/test_{name}.py",
    ]
    print("\n".join(lines))  # noqa: T201  # what a command prints


if __name__ == "__main__":
    sys.exit(main())
