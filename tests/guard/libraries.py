"""Holds the names of `libraries.toml` against the libraries that are installed: `make libraries`.

It reads the table in an environment of its own, with the newest release of each library in
`libraries.txt`. A name that its library does not have fails; so a rename is seen, and a mistype.
"""

import importlib
import importlib.util
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
TABLE = TEMPLATE / "offload_dev" / "lint" / "origins" / "libraries.toml"
BRACES = re.compile(r"\{([^{}]*)\}")
LISTS = ("blocks", "may_block", "passes", "computes", "may_compute", "clients")


def expanded(pattern: str) -> Iterator[str]:
    """Each name of a pattern such as `redis.{Redis,StrictRedis}.get`."""
    parts = BRACES.split(pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    yield from ("".join(chosen) for chosen in product(*choices))


def imported(name: str) -> tuple[Any, list[str]] | None:
    """The longest module of a dotted name, and the rest; None if it is not installed."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            return importlib.import_module(".".join(parts[:count])), parts[count:]
        # A library may raise an error of its own where one that it needs is missing.
        except Exception:
            continue
    return None


def missing(name: str) -> str:
    """The part of a dotted name that its library does not have; empty if it has all of it."""
    found = imported(name)
    if found is None:
        return name if find_top(name) else ""
    here, rest = found
    known = name.split(".")[: -len(rest)] if rest else []
    for part in rest:
        if "*" in part or not part:
            return ""
        known.append(part)
        if not hasattr(here, part):
            return ".".join(known) if _has_all(here, part) else ""
        here = getattr(here, part)
        # Only a class or a module says for sure what it has.
        if not (inspect.ismodule(here) or inspect.isclass(here)):
            return ""
    return ""


def _has_all(here: Any, attribute: str) -> bool:
    """Whether a module or class names all that it has.

    A class may answer for any attribute, set one in a method, or make instances of another class.
    """
    if inspect.ismodule(here):
        return not hasattr(here, "__getattr__")
    if any({"__getattr__", "__call__"} & vars(base).keys() for base in here.__mro__[:-1]):
        return False
    try:
        text = "\n".join(inspect.getsource(base) for base in here.__mro__[:-1])
    except (OSError, TypeError):
        return False
    return f"self.{attribute}" not in text and "setattr(" not in text


def find_top(name: str) -> bool:
    """Whether the package of a name is installed."""
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def check(library: str, table: dict[str, Any]) -> Iterator[str]:
    """Each method of one table that its library does not have in any of the named classes."""
    patterns = [pattern for key in LISTS for pattern in table.get(key, ())]
    for pattern in (*patterns, *([table["async"]] if "async" in table else ())):
        # One of `{API,Client}.{get_user,search}` need not have all methods of the other.
        by_method: dict[str, list[str]] = {}
        for name in expanded(pattern):
            by_method.setdefault(name.rpartition(".")[2], []).append(name)
        for names in by_method.values():
            lost = [missing(name) for name in names]
            if all(lost):
                yield f"{library}: {names[0]} ({lost[0]})"


def main() -> int:
    """Print what is missing. Returns 1 if something is."""
    tables = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    wanted = {
        line.partition("[")[0].strip()
        for line in (Path(__file__).parent / "libraries.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    checked, found = 0, []
    for name, table in tables.items():
        try:
            where = version(name) if name in wanted else ""
        except PackageNotFoundError:
            continue
        if where:
            checked += 1
            found += check(name, table)
    print("\n".join(found))
    print(f"{checked} of {len(tables)} libraries are installed; {len(found)} names are missing.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
