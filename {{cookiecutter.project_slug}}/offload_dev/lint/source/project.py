"""Reads all files of a project."""

import ast
import tokenize
from functools import cached_property
from pathlib import Path

from offload_dev.lint.source.declarations import declare
from offload_dev.lint.source.module_names import ModuleNames
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.source_files import source_files
from offload_dev.lint.source.tree import CodeScope, Module

# Only a service has them, no library.
SERVICE_FILES = {"manage.py", "asgi.py", "urls.py", "wsgi.py"}


class Project:
    """All modules under a path.

    Args:
        root: a directory, or one file. Tests, migrations, hidden directories and virtual
            environments are left out.

    `files` has every module, `modules` has them by name. `unreadable` lists the files that Python
    cannot parse: path, line, error.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Module] = []
        self.modules: dict[str, Module] = {}
        self.scopes: dict[str, CodeScope] = {}
        self.unreadable: list[tuple[Path, int, str]] = []
        paths = sorted(source_files(root))
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

    @property
    def functions(self) -> list[CodeScope]:
        return [scope for scope in self.scopes.values() if isinstance(scope.node, Def)]

    def _read(self, path: Path) -> None:
        try:
            # It heeds a byte order mark, and an encoding that the first lines name.
            with tokenize.open(path) as file:
                text = file.read()
            tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            reason = getattr(error, "msg", str(error))
            self.unreadable.append((path, getattr(error, "lineno", None) or 1, reason))
            return

        # A module is its own module, which the constructor cannot say.
        name, known = self._names.of(path), {"path": path, "text": text, "files": self._names}
        module = Module(None, name, tree, **known)  # type: ignore[arg-type]
        module.module = module
        self.files.append(module)
        self.modules[module.dotted] = module
        declare(module, self.scopes)
