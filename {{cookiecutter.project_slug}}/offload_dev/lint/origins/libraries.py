"""What libraries do to the thread that calls them, read from `libraries.toml`.

A team adds its own tables in `pyproject.toml`, as `[tool.offload.libraries.NAME]`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.source_files import is_there, text_of

LISTS = {
    "blocks",
    "may_block",
    "special",
    "passes",
    "computes",
    "may_compute",
    "clients",
    "threads",
    "unlimited",
}
TEXTS = {"async", "write", "likely", "limit", "without_limit", "only_with"}
SWITCHES = {"http", "in_thread", "in_view", "by_size", "near"}
KEYS = LISTS | TEXTS | SWITCHES
NOTHING = Patterns()
SMALL_TABLE = "short with a small table"
HTTP_METHODS = {"put", "patch", "delete", "head", "options"}


class BadTableError(ValueError):
    """A table of a library in `pyproject.toml` is wrong."""


@dataclass(frozen=True)
class Library:
    """One library. `libraries.toml` explains its lists."""

    name: str
    lists: Mapping[str, Patterns]
    counterpart: str = ""
    http: bool = False
    in_thread: bool = False
    in_view: bool = False
    by_size: bool = False
    near: bool = False
    write: str = ""
    likely: str = ""
    limit: str = "timeout"
    without_limit: str = ""
    only_with: str = ""

    @property
    def short_if(self) -> str:
        """When its computing is short; empty if it never is."""
        return SMALL_TABLE if self.by_size else ""

    def matches(self, kind: str, origin: str) -> bool:
        """Whether a call of this origin is in one of the library's lists."""
        return self.lists.get(kind, NOTHING).matches(origin)

    def advice(self, call: str) -> str:
        """What to write instead of a call, in one sentence.

        Args:
            call: the name as it is called, such as `client.get`.
        """
        in_thread = f"`await asyncio.to_thread({call}, …)`"
        if self.write:
            holder, dot, method = call.rpartition(".")
            texts = {
                "{call}": call,
                "{async_call}": f"{holder}{dot}a{method}",
                "{upstream}": _of_upstream(method),
            }
            return reduce(lambda text, name: text.replace(name, texts[name]), texts, self.write)
        if self.counterpart:
            return f"`{self.counterpart}`, opened once for the process; or {in_thread}"
        return f"an `Upstream` for its HTTP API, or {in_thread}" if self.http else in_thread


def _of_upstream(method: str) -> str:
    """The call of an `Upstream` that does what a method of an HTTP client does."""
    if method in ("get", "post"):
        return f"{method}_json(…)"
    return f'request("{method.upper()}", …)' if method in HTTP_METHODS else "request(…)"


class Libraries:
    """All libraries that are known, by the first part of their names."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self._by_package: dict[str, list[Library]] = {}
        for name, table in tables.items():
            library = _library(name, table)
            for package in {each for key in LISTS for each in _packages(table.get(key, ()))}:
                self._by_package.setdefault(package, []).append(library)
        self._known: dict[tuple[str, str], Library | None] = {}

    def __iter__(self) -> Iterator[Library]:
        """Each library once, by its name."""
        found = {each.name: each for libraries in self._by_package.values() for each in libraries}
        return iter([found[name] for name in sorted(found)])

    def find(self, kind: str, origin: str) -> Library | None:
        """The library in whose list a call is; None if it is in none."""
        key = (kind, origin)
        if key not in self._known:
            package = origin.partition(".")[0]
            self._known[key] = next(
                (
                    library
                    for library in self._by_package.get(package, ())
                    if library.matches(kind, origin) and not library.matches("passes", origin)
                ),
                None,
            )
        return self._known[key]


def load(root: Path) -> Libraries:
    """The libraries that everybody uses, and those of the project's own `pyproject.toml`.

    Raises:
        BadTableError: if a table of the project is wrong.
    """
    # importlib.resources also reads the file from inside a zip, for `make lint-zipapp`.
    text = files("offload_dev.lint.origins").joinpath("libraries.toml").read_text(encoding="utf-8")
    return Libraries(tomllib.loads(text) | _of_project(root))


def _of_project(root: Path) -> dict[str, dict[str, Any]]:
    for directory in (root, *root.resolve().parents):
        path = directory / "pyproject.toml"
        if is_there(path):
            break
    else:
        return {}
    try:
        own: Any = tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError:
        # A template's file, for example. Whoever uses the file says so with a better sentence.
        return {}
    for name in ("tool", "tool.offload", "tool.offload.libraries"):
        own = own.get(name.rpartition(".")[2], {})
        _check_table(f"{path}, [{name}]", own)
    libraries: dict[str, dict[str, Any]] = own
    for name, table in libraries.items():
        _check(f"{path}, [tool.offload.libraries.{name}]", table)
    return libraries


def _check_table(where: str, table: object) -> None:
    if not isinstance(table, dict):
        raise BadTableError(f"{where}: must be a table, and not {table!r}")


def _check(where: str, table: Mapping[str, Any]) -> None:
    _check_table(where, table)
    for key, value in table.items():
        if key not in KEYS:
            raise BadTableError(f"{where}: {key!r} is unknown. Known are {', '.join(sorted(KEYS))}")
        texts = value if key in LISTS and isinstance(value, list) else [value]
        wanted = bool if key in SWITCHES else str
        if (key in LISTS and not isinstance(value, list)) or not all(
            isinstance(text, wanted) for text in texts
        ):
            raise BadTableError(f"{where}: {key} must be {_kind(key)}, and not {value!r}")


def _kind(key: str) -> str:
    return "a list of texts" if key in LISTS else "a text" if key in TEXTS else "true or false"


def _library(name: str, table: Mapping[str, Any]) -> Library:
    lists = {key: Patterns(*table[key]) for key in LISTS if key in table}
    return Library(
        name,
        lists,
        counterpart=table.get("async", ""),
        http=table.get("http", False),
        in_thread=table.get("in_thread", False),
        in_view=table.get("in_view", False),
        by_size=table.get("by_size", False),
        near=table.get("near", False),
        write=table.get("write", ""),
        likely=table.get("likely", ""),
        limit=table.get("limit", "timeout"),
        without_limit=table.get("without_limit", ""),
        only_with=table.get("only_with", ""),
    )


def _packages(patterns: Iterable[str]) -> Iterable[str]:
    """The first part of each pattern. `{pypdf,PyPDF2}.PdfReader` has two."""
    for pattern in patterns:
        if pattern.startswith("{"):
            yield from pattern[1:].partition("}")[0].split(",")
        else:
            yield pattern.partition(".")[0]
