"""Reads a source tree: its modules, classes and functions, and the names that they bind."""

import ast
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from offload_dev.lint.module_names import ModuleNames
from offload_dev.lint.source_files import source_files

Def = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
STATEMENT_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)
# Only a service has them, no library.
SERVICE_FILES = {"manage.py", "asgi.py", "urls.py", "wsgi.py"}
LOCAL_CACHE = re.compile(
    r"""["'](\w+)["']:\s*\{(?:\s|#[^\n]*)*["']BACKEND["']:\s*["'][\w.]*[Ll]oc[Mm]em"""
)
OTHER_CACHE = re.compile(
    r"""["']default["']:\s*\{(?:\s|#[^\n]*)*["']BACKEND["']:\s*["'](?![\w.]*locmem)[\w.]*cache""",
    re.IGNORECASE,
)
# `session.request = functools.partial(session.request, timeout=5)`, an adapter with a timeout, or a
# wrapper that adds one to the arguments of each call.
SESSION_LIMIT = re.compile(
    r"\.(?:request|send) = (?:functools\.)?partial\([^()]*timeout=|\.mount\(.*timeout"
    r"|kwargs\.setdefault\([\"']timeout[\"']|kwargs\[[\"']timeout[\"']\] = ",
    re.IGNORECASE,
)
# A line of code that ends a task after so many seconds.
SOFT_LIMIT = re.compile(
    r"""^[^#\n]*\b(?:celeryd?_)?(?:task_)?soft_time_limit["']?\s*[=:]\s*(\d[\d_]*)\b(?!\s*\*)""",
    re.IGNORECASE | re.MULTILINE,
)
MAX_SOFT_LIMIT_SECONDS = 600
OF_RQ = ("django_rq", "rq.")
LOCK = ".select_for_update("
# A middleware of Channels that fetches the user by itself, and relations with it.
SETS_USER_OF_SCOPE = re.compile(r"""\bscope\[["']user["']\]\s*=[^=]""")
SETS_USER = re.compile(r"\brequest\.user\s*(:[^=\n]+)?=[^=]")


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


def _gets_request(scope: CodeScope) -> bool:
    """Whether a function has a parameter that holds a request."""
    arguments = getattr(scope.node, "args", None)
    return arguments is not None and any(each.arg == "request" for each in arguments.args)


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
        self._prefetched: dict[str, bool] = {}
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

    @property
    def functions(self) -> list[CodeScope]:
        return [scope for scope in self.scopes.values() if isinstance(scope.node, Def)]

    @cached_property
    def sets_users(self) -> bool:
        """Whether a line gives `request.user` a value, as authentication of its own does.

        That of `ninja_jwt` does so, too.
        """
        return any(
            "ninja_jwt" in module.text or SETS_USER.search(module.text) is not None
            for module in self.modules.values()
        )

    @cached_property
    def fetches_user_of_scope(self) -> bool:
        """Whether a middleware of Channels here may fetch relations with the user."""
        return any(
            SETS_USER_OF_SCOPE.search(module.text) is not None and "_related(" in module.text
            for module in self.modules.values()
        )

    @cached_property
    def locking_functions(self) -> set[str]:
        """The names of the functions and methods whose lines lock rows."""
        files = {module for module in self.files if LOCK in module.text}
        inside = (scope for scope in self.functions if scope.module in files)
        return {s.dotted.rpartition(".")[2] for s in inside if LOCK in s.text_of_lines}

    @cached_property
    def has_thread_locals(self) -> bool:
        """Whether a file may keep values by thread."""
        return any("threading" in m.text and "local(" in m.text for m in self.files)

    @cached_property
    def mixes_threads(self) -> bool:
        """Whether async views or middlewares share threads with what sync code keeps in them.

        A service without them runs each request in one thread, from its begin to its end. Others
        use a library in services of both kinds.
        """
        is_service = any(module.path.name in SERVICE_FILES for module in self.files)
        return not is_service or any(
            scope.on_loop and _gets_request(scope) for scope in self.functions
        )

    @cached_property
    def limits_tasks(self) -> bool:
        """Whether a limit of some minutes ends what a task waits for: of Celery, or that of RQ.

        RQ has one for each task: 180 seconds, or 360 with django-rq.
        """
        if any(module.uses(OF_RQ) for module in self.files):
            return True
        texts = (module.text for module in self.files if "time_limit" in module.text.lower())
        limits = (each for text in texts for each in SOFT_LIMIT.findall(text))
        return any(int(seconds) <= MAX_SOFT_LIMIT_SECONDS for seconds in limits)

    @cached_property
    def limits_sessions(self) -> bool:
        """Whether a session of requests gets a timeout for all of its calls where it is made."""
        return any(SESSION_LIMIT.search(module.text) for module in self.modules.values())

    @cached_property
    def local_caches(self) -> set[str]:
        """The names of the caches that live in the process, as the settings give them."""
        return {name for m in self.modules.values() for name in LOCAL_CACHE.findall(m.text)}

    @cached_property
    def has_remote_default_cache(self) -> bool:
        """Whether other settings give the default cache a server."""
        return any(OTHER_CACHE.search(module.text) is not None for module in self.modules.values())

    def prefetches(self, name: str) -> bool:
        """Whether a file that prefetches relations names this one, in quotes."""
        if name not in self._prefetched:
            quoted = re.compile(rf"""["'](\w+__)*{name}(__\w+)*["']""")
            texts = (m.text for m in self.modules.values() if "prefetch" in m.text)
            self._prefetched[name] = any(quoted.search(text) is not None for text in texts)
        return self._prefetched[name]

    def fetches(self, name: str) -> bool:
        """Whether a file fetches a relation of this name with its rows, one row or many."""
        quoted = re.compile(rf"""_related\([^)]*["'](\w+__)*{name}(__\w+)*["']""")
        return self.prefetches(name) or any(
            quoted.search(module.text) is not None for module in self.modules.values()
        )

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
