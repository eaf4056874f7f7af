"""The modules, classes and functions of a source tree, and the names that they bind."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from offload_dev.lint.source.module_names import ModuleNames
from offload_dev.lint.source.nodes import Def, all_nodes, own_statements


class Assigned(NamedTuple):
    """A value that a method gives to an attribute of `self`, and the method."""

    value: ast.expr
    scope: "CodeScope"


@dataclass(eq=False)
class CodeScope:
    """A module, class or function.

    Args:
        dotted: its name with those of the scopes around it: `shop.views.View.get`.
        names: what each name that it binds holds: a dotted origin, or an expression.
        annotations: the types that its own lines give to names: `client: Redis`.
        attributes: for a class, what its methods assign to attributes of `self`.
        elements: for a class or module, what is assigned to the items of its containers:
            `self.clients[key] = Client()`.
        stars: the modules of `from … import *`.
    """

    module: "Module"
    dotted: str
    node: ast.Module | ast.ClassDef | Def
    parent: "CodeScope | None" = None
    names: dict[str, str | ast.expr] = field(default_factory=dict)
    annotations: dict[str, ast.expr] = field(default_factory=dict)
    attributes: dict[str, list[Assigned]] = field(default_factory=dict)
    elements: dict[str, list[Assigned]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    @property
    def on_loop(self) -> bool:
        """Whether it is an async function, whose body runs on the event loop."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @property
    def owner(self) -> "CodeScope | None":
        """The class, if this is a method."""
        return self.parent if self.parent and isinstance(self.parent.node, ast.ClassDef) else None

    @property
    def label(self) -> str:
        """Its name inside of the module, for messages."""
        return self.dotted.removeprefix(self.module.dotted + ".")

    @cached_property
    def bare_name(self) -> str:
        """Its own name, without those of the scopes around it."""
        return self.dotted.rpartition(".")[2]

    @property
    def is_private(self) -> bool:
        """Whether its name begins with an underscore, and is no special one such as `__init__`."""
        return self.bare_name.startswith("_") and not self.bare_name.endswith("__")

    @cached_property
    def text_of_lines(self) -> str:
        """Its lines, as they stand in the file. It saves writing the nodes out."""
        first, last = getattr(self.node, "lineno", 1), getattr(self.node, "end_lineno", None)
        return "\n".join(self.module.lines[first - 1 : last])

    def imported(self, *, in_functions: bool = False) -> Iterator[tuple[str, int]]:
        """The dotted name and the line of each import.

        Args:
            in_functions: whether imports inside of functions and classes count, too.
        """
        for node in all_nodes(self.node) if in_functions else own_statements(self.node):
            if isinstance(node, ast.Import):
                yield from ((self.module.named(alias.name), node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (
                    (self.module.absolute(node, alias.name), node.lineno) for alias in node.names
                )


@dataclass(eq=False)
class Module(CodeScope):
    """One file."""

    path: Path = field(default_factory=Path)
    text: str = ""
    files: ModuleNames | None = None
    _answers: dict[object, bool] = field(default_factory=dict)

    def has(self, text: str) -> bool:
        """Whether the file has a text. The answer is kept, since each of its functions asks."""
        if text not in self._answers:
            self._answers[text] = text in self.text
        return self._answers[text]

    def matches(self, pattern: re.Pattern[str]) -> bool:
        """Whether a pattern is found in the file. The answer is kept."""
        if pattern not in self._answers:
            self._answers[pattern] = pattern.search(self.text) is not None
        return self._answers[pattern]

    @cached_property
    def lines(self) -> list[str]:
        # `splitlines` would also split at a form feed, which is no end of a line to Python.
        return self.text.split("\n")

    @cached_property
    def has_own_loop(self) -> bool:
        """Whether it is a management command, or a script: its event loop has one task mostly."""
        if self.path.parent.name == "commands" and self.path.parent.parent.name == "management":
            return True
        return "asyncio.run(" in self.text and any(
            isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
            for node in own_statements(self.node)
        )

    @cached_property
    def is_script(self) -> bool:
        """Whether somebody starts the file: a management command, or a file with a main block."""
        return self.has_own_loop or "__main__" in self.text

    @cached_property
    def prints(self) -> bool:
        """Whether a line at its top writes to the terminal."""
        values = (each.value for each in self.node.body if isinstance(each, ast.Expr))
        return any(isinstance(e, ast.Call) and ast.unparse(e.func) == "print" for e in values)

    def uses(self, packages: tuple[str, ...]) -> bool:
        """Whether it imports something of these packages at its top. The answer is kept."""
        if packages not in self._answers:
            names = (name for name in self.names.values() if isinstance(name, str))
            self._answers[packages] = any(name.startswith(packages) for name in names)
        return self._answers[packages]

    def absolute(self, node: ast.ImportFrom, name: str = "") -> str:
        """The absolute name of what `from … import name` imports, or of the module itself."""
        parts = [*(node.module or "").split("."), name]
        parts = [part for part in parts if part]
        if node.level and self.files is not None:
            return self.files.relative(node.level, parts, self.path)
        return self.named(".".join(parts))

    def named(self, imported: str) -> str:
        """The name that the project has for what an import names."""
        return self.files.imported(imported, self.path) if self.files else imported
