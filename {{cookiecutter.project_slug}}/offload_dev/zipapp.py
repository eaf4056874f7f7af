"""`python -m offload_dev.zipapp TARGET` packs the linter into one file, as `make lint-zipapp` does.

Every Python from 3.11 on runs that file by itself: `python offload-lint.pyz PATH`. The same source
gives the same bytes, so that a repository sees from a checksum whether its copy is the current one.
The command `python -m zipapp` writes the order and the times of a directory into its archive, so
this module writes the format (PEP 441) itself.
"""

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path

SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "from offload_dev.lint.__main__ import run\n\nrun()\n"
# The earliest time that a zip file can hold: every entry has it.
ENTRY_TIME = (1980, 1, 1, 0, 0, 0)
ENTRY_MODE = 0o644 << 16


def build(target: Path) -> None:
    """Write the linter to `target`, an executable file. Its directory is created if needed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w") as archive:
            for name, text in _entries():
                entry = zipfile.ZipInfo(name, ENTRY_TIME)
                # The same on every system, and not what the system that packs would say.
                entry.create_system = 3
                entry.external_attr = ENTRY_MODE
                archive.writestr(entry, text)
    target.chmod(0o755)


def _entries() -> Iterator[tuple[str, str]]:
    """The name and the text of each file in the archive."""
    yield "__main__.py", MAIN
    package = Path(__file__).parent
    files = [package / "__init__.py", *sorted((package / "lint").rglob("*"))]
    for path in files:
        if path.suffix in (".py", ".toml"):
            yield path.relative_to(package.parent).as_posix(), path.read_text(encoding="utf-8")

    # `--explain` prints them in a repository that does not have them.
    pages = sorted((package.parent / "docs" / "guard").glob("*[0-9].md"))
    if not pages:
        raise FileNotFoundError("docs/guard is not beside offload_dev: its pages go into the file")
    for page in pages:
        yield f"offload_dev/lint/pages/{page.name}", page.read_text(encoding="utf-8")


def main() -> None:
    """Build the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m offload_dev.zipapp", description=__doc__)
    parser.add_argument("target", type=Path, help="the file to write")
    build(parser.parse_args().target)


if __name__ == "__main__":
    main()
