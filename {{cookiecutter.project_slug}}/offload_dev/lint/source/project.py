"""Reads all files of a project."""

import ast
import sys
import tokenize
from functools import cached_property
from io import BytesIO, TextIOWrapper
from pathlib import Path

from offload_dev.lint.source.declarations import declare
from offload_dev.lint.source.module_names import ModuleNames
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.source_files import source_files
from offload_dev.lint.source.start_files import start_files
from offload_dev.lint.source.tree import CodeScope, Module

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# No file, no Python, another encoding or one that is none, and too deep for the parser.
UNREADABLE = (OSError, SyntaxError, ValueError, LookupError, RecursionError, MemoryError)
# Only a service has them, no library.
SERVICE_FILES = {"manage.py", "asgi.py", "urls.py", "wsgi.py"}


class Project:
    """All modules under a path.

    Args:
        root: a directory, or one file. Tests, migrations, hidden directories and virtual
            environments are left out.

    `files` has every module, `modules` has them by name. `unreadable` lists the files that Python
    cannot parse: path, line, reason. `unlisted` has the errors of the folders that cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Module] = []
        self.modules: dict[str, Module] = {}
        self.scopes: dict[str, CodeScope] = {}
        self.unreadable: list[tuple[Path, int, str]] = []
        self.unlisted: list[OSError] = []
        paths = sorted(source_files(root, self.unlisted.append))
        self._names = ModuleNames(root, paths)
        for path in paths:
            self._read(path)

    @cached_property
    def of_standard(self) -> bool:
        """Whether this is a service of this standard: it imports `offload`, and runs under ASGI."""
        return any(
            name.startswith("offload.")
            for module in self.modules.values()
            for name, _ in module.imported()
        )

    @cached_property
    def is_service(self) -> bool:
        """Whether this is no library, whose code others run: it has a file that starts Django."""
        return any(module.path.name in SERVICE_FILES for module in self.files)

    @cached_property
    def start_files(self) -> list[str]:
        """The texts of the files that start the project."""
        return list(start_files(self.root))

    @cached_property
    def functions(self) -> list[CodeScope]:
        return [scope for scope in self.scopes.values() if isinstance(scope.node, Def)]

    @cached_property
    def classes(self) -> dict[str, CodeScope]:
        """The classes, by their dotted names."""
        return {
            name: scope
            for name, scope in self.scopes.items()
            if isinstance(scope.node, ast.ClassDef)
        }

    def _read(self, path: Path) -> None:
        try:
            text = _text(path)
            tree = ast.parse(text)
        except (
            OSError,
            SyntaxError,
            ValueError,
            LookupError,
            RecursionError,
            MemoryError,
        ) as error:
            self.unreadable.append((path, getattr(error, "lineno", None) or 1, _reason(error)))
            return

        # A module is its own module, which the constructor cannot say.
        name, known = self._names.of(path), {"path": path, "text": text, "files": self._names}
        module = Module(None, name, tree, **known)  # type: ignore[arg-type]
        module.module = module
        self.files.append(module)
        self.modules[module.dotted] = module
        declare(module, self.scopes)


def _text(path: Path) -> str:
    """A file's text, by its byte order mark and the encoding that its first lines name."""
    content = path.read_bytes()
    # A file with a name would put its path on this machine into the error.
    encoding, _ = tokenize.detect_encoding(BytesIO(content).readline)
    with TextIOWrapper(BytesIO(content), encoding) as file:
        return file.read()


def _reason(error: Exception) -> str:
    """Why a file cannot be parsed. Only a syntax error may be none for another Python."""
    match error:
        case SyntaxError():
            return f"{error.msg} for Python {PYTHON}"
        case OSError():
            return str(error.strerror)
        case RecursionError() | MemoryError():
            return "too many levels of syntax inside of one another"
    return str(error)
