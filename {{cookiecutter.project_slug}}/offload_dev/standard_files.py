"""`python -m offload_dev.standard_files`: fails if a file of the standard was edited here.

The next version of the standard would overwrite the edit, or leave a conflict. What the files were
when they came is in `offload_dev/standard_files.txt`, as `sha256sum` writes it; the template writes
that file (`--write`). A service that must edit a file names it in `pyproject.toml`:

    [tool.offload]
    edited = ["offload/jobs/relay.py"]  # the reason, and the issue that ends it
"""

import argparse
import hashlib
import sys
import tomllib
from pathlib import Path

FOLDERS = ("offload", "offload_dev")
LIST = Path("offload_dev/standard_files.txt")


def main() -> int:
    """Check or write the list; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m offload_dev.standard_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", action="store_true", help="write the list (the template does)")
    if parser.parse_args().write:
        lines = [f"{digest}  {path}\n" for path, digest in sorted(_digests().items())]
        LIST.write_text("".join(lines), encoding="utf-8")
        return 0

    faults = _faults()
    for path, fault in sorted(faults.items()):
        print(f"{path}: {fault}")  # noqa: T201
    if faults:
        print(  # noqa: T201
            "These files come with the standard. Undo the edit, or name the file in "
            "pyproject.toml: [tool.offload] edited"
        )
    return 1 if faults else 0


def _faults() -> dict[str, str]:
    """What is wrong with a file, by its path."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    expected = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    found = _digests()
    edited = set(_named_as_edited())

    faults = dict.fromkeys(expected.keys() - found.keys(), "it is missing")
    faults |= dict.fromkeys(found.keys() - expected.keys(), "it does not belong to the standard")
    for path in expected.keys() & found.keys():
        if expected[path] != found[path]:
            faults[path] = "it was edited"
    unedited = dict.fromkeys(edited - faults.keys(), "it is named as edited, and is not")
    return {path: fault for path, fault in faults.items() if path not in edited} | unedited


def _digests() -> dict[str, str]:
    """The SHA-256 of each file of the standard, by its path."""
    files = [path for folder in FOLDERS for path in Path(folder).rglob("*") if path.is_file()]
    return {
        path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path != LIST and "__pycache__" not in path.parts and path.name != ".DS_Store"
    }


def _named_as_edited() -> list[str]:
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    named: list[str] = settings.get("tool", {}).get("offload", {}).get("edited", [])
    return named


if __name__ == "__main__":
    sys.exit(main())
