"""Reads a source tree: its modules, classes and functions, and the names that they bind."""

import ast
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from offload_dev.lint.source.module_names import ModuleNames
from offload_dev.lint.source.source_files import source_files

Def = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
STATEMENT_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)
# Only a service has them, no library.
SERVICE_FILES = {"manage.py", "asgi.py", "urls.py", "wsgi.py"}


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
        for node in ast.walk(self.node) if in_functions else own_statements(self.node):
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

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

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

    def uses(self, packages: tuple[str, ...]) -> bool:
        """Whether it imports something of these packages at its top."""
        names = self.names.values()
        return any(name.startswith(packages) for name in names if isinstance(name, str))

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


def own_nodes(node: ast.AST) -> list[ast.AST]:
    """Every node of a scope in source order, without the bodies of the scopes inside of it.

    The list of a scope is kept: some twenty rules ask for it.
    """
    known: list[ast.AST] | None = node.__dict__.get("own_nodes")
    if known is not None:
        return known
    found: list[ast.AST] = []
    waiting = _children(node)[::-1]
    while waiting:
        child = waiting.pop()
        found.append(child)
        if not isinstance(child, SCOPES):
            waiting += _children(child)[::-1]
    if isinstance(node, (*SCOPES, ast.Module)):
        node.__dict__["own_nodes"] = found
    return found


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node: `ast.iter_child_nodes` in half the time."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def own_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement of a scope in source order. Expressions are skipped, which saves time."""
    for child in _children(node):
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, STATEMENT_HOLDERS) and not isinstance(child, SCOPES):
            yield from own_statements(child)


def assigned(given: ast.expr, node: ast.AST) -> ast.expr:
    """What a variable of a function was assigned, if only one line assigns to it."""
    if not isinstance(given, ast.Name):
        return given
    values = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Assign)
        and any(getattr(target, "id", "") == given.id for target in each.targets)
    ]
    return values[0] if len(values) == 1 else given


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
        self._declare(module)

    def _declare(self, scope: CodeScope) -> None:
        """Read the names that a scope binds, and the scopes inside of it."""
        for node in own_statements(scope.node):
            match node:
                case ast.ImportFrom(names=[ast.alias(name="*")]):
                    scope.stars.append(scope.module.absolute(node))
                case ast.Import() | ast.ImportFrom():
                    scope.names |= _imported_names(node, scope.module)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    dotted = f"{scope.dotted}.{node.name}"
                    # Two branches of an `if` may define the same function: both are read.
                    other = self.scopes.get(dotted)
                    if other is not None and other.node not in scope.node.body:
                        self.scopes[f"{dotted}:{node.lineno}"] = other
                    inner = CodeScope(scope.module, dotted, node, scope)
                    scope.names[node.name] = inner.dotted
                    self.scopes[inner.dotted] = inner
                    self._declare(inner)
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        _declare_variable(scope, target, value)
                case ast.AnnAssign(target=target, annotation=annotation, value=value):
                    _declare_annotation(scope, target, annotation)
                    if value is not None:
                        _declare_variable(scope, target, value)


def _imported_names(node: ast.Import | ast.ImportFrom, module: Module) -> dict[str, str]:
    """What each name of an import statement holds. `import a.b` binds `a`."""
    if isinstance(node, ast.ImportFrom):
        return {a.asname or a.name: module.absolute(node, a.name) for a in node.names}
    found = {}
    for alias in node.names:
        top, dot, _ = alias.name.partition(".")
        # `import a.b` binds `a`.
        found[alias.asname or top] = top if dot and not alias.asname else module.named(alias.name)
    return found


def _declare_variable(scope: CodeScope, target: ast.expr, value: ast.expr) -> None:
    """Note what a variable of a module or class holds, or an attribute of `self`.

    A function's local variables change from line to line: the visitor follows them.
    """
    match target:
        case ast.Name(id=name) if not isinstance(scope.node, Def):
            # `except ImportError: redis = None` says nothing about the module that is there.
            is_none = isinstance(value, ast.Constant) and value.value is None
            is_fallback = is_none and name in scope.names
            if not is_fallback:
                scope.names[name] = value
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner:
            scope.owner.attributes.setdefault(name, []).append(Assigned(value, scope))
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name)) if (
            scope.owner
        ):
            scope.owner.elements.setdefault(name, []).append(Assigned(value, scope))
        case ast.Subscript(value=ast.Name(id=name)):
            scope.module.elements.setdefault(name, []).append(Assigned(value, scope))


def _declare_annotation(scope: CodeScope, target: ast.expr, annotation: ast.expr) -> None:
    match target:
        case ast.Name(id=name) if not isinstance(scope.node, Def):
            scope.annotations[name] = annotation
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if scope.owner:
            scope.owner.annotations.setdefault(name, annotation)
