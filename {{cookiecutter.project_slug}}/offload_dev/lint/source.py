"""Reads a source tree: its modules, classes and functions, and where each name in them comes from."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

Def = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
SKIPPED = {
    "tests",
    "test",
    "testing",
    "migrations",
    "node_modules",
    "site-packages",
    "__pycache__",
    "build",
    "dist",
}


@dataclass(eq=False)
class Scope:
    """A module, class or function: the names that it binds, each to a dotted origin or to the
    expression it holds.
    """

    module: "Module"
    dotted: str
    node: ast.Module | ast.ClassDef | Def
    parent: "Scope | None" = None
    names: dict[str, str | ast.expr] = field(default_factory=dict)

    @property
    def on_loop(self) -> bool:
        """Whether its body runs on the event loop by its own declaration."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @property
    def owner(self) -> "Scope | None":
        """The class of a method."""
        return self.parent if self.parent and isinstance(self.parent.node, ast.ClassDef) else None

    @property
    def label(self) -> str:
        """Its name inside the module, for people."""
        return self.dotted.removeprefix(self.module.dotted + ".")

    def imported(self) -> Iterator[tuple[str, int]]:
        """The dotted name and line of each import in this scope itself."""
        for node in own_nodes(self.node):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.module.absolute(node)
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


@dataclass(eq=False)
class Module(Scope):
    """One file."""

    path: Path = field(default_factory=Path)
    text: str = ""

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def absolute(self, node: ast.ImportFrom) -> str:
        """The absolute name of what `from … import` names, relative ones counted from here."""
        if not node.level:
            return node.module or ""
        parts = self.dotted.split(".")
        base = parts[: len(parts) - node.level + (self.path.name == "__init__.py")]
        return ".".join([*base, *([node.module] if node.module else [])])


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node of a scope, in source order, without the bodies of the scopes inside it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, SCOPES):
            yield from own_nodes(child)


class Project:
    """All modules under a path.

    Args:
        root: a directory, or one file. Tests, migrations, hidden directories and virtual
            environments are left out.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Module] = {}
        self.scopes: dict[str, Scope] = {}
        self.unreadable: list[tuple[Path, int, str]] = []
        for path in sorted(self._paths(root)):
            try:
                text = path.read_text(encoding="utf-8")
                tree = ast.parse(text)
            except (SyntaxError, ValueError) as error:
                self.unreadable.append((path, getattr(error, "lineno", None) or 1, str(error)))
                continue
            module = Module(module=None, dotted=_dotted(path), node=tree, path=path, text=text)  # type: ignore[arg-type]
            module.module = module
            self.modules[module.dotted] = module
            self._declare(module)

    @cached_property
    def of_standard(self) -> bool:
        """Whether this is a service of this standard, and so served by ASGI: it imports `offload`."""
        return any(
            name.startswith("offload.")
            for module in self.modules.values()
            for name, _ in module.imported()
        )

    @property
    def functions(self) -> list[Scope]:
        return [scope for scope in self.scopes.values() if isinstance(scope.node, Def)]

    def _paths(self, root: Path) -> Iterator[Path]:
        if root.is_file():
            yield root
            return
        for path in root.iterdir():
            if path.is_dir():
                if (
                    path.name not in SKIPPED
                    and path.name[0] != "."
                    and not (path / "pyvenv.cfg").exists()
                ):
                    yield from self._paths(path)
            elif (
                path.suffix == ".py"
                and not path.name.startswith("test_")
                and path.name != "conftest.py"
            ):
                yield path

    def _declare(self, scope: Scope) -> None:
        for node in own_nodes(scope.node):
            match node:
                case ast.Import():
                    for alias in node.names:
                        scope.names[alias.asname or alias.name.partition(".")[0]] = (
                            alias.name if alias.asname else alias.name.partition(".")[0]
                        )
                case ast.ImportFrom():
                    base = scope.module.absolute(node)
                    scope.names |= {
                        alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names
                    }
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    inner = Scope(scope.module, f"{scope.dotted}.{node.name}", node, scope)
                    scope.names[node.name] = inner.dotted
                    self.scopes[inner.dotted] = inner
                    self._declare(inner)
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if not isinstance(
                    scope.node, Def
                ):
                    scope.names[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                    not isinstance(scope.node, Def)
                ):
                    scope.names[name] = value
                case ast.Assign(
                    targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value
                ) if scope.owner:
                    scope.owner.names.setdefault(name, value)


def _dotted(path: Path) -> str:
    """The import name of a file: counted from the first directory above it that is no package."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    directory = path.resolve().parent
    while (directory / "__init__.py").exists():
        parts.insert(0, directory.name)
        directory = directory.parent
    return ".".join(parts) or path.stem
