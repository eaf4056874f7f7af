"""Resolves what an expression is to one dotted name, its origin.

The origin of `Path("x").read_text` is `pathlib.Path.read_text`.
"""

import ast

from offload_dev.lint.names import FETCHING, ORM, TASK_DECORATORS
from offload_dev.lint.source import CodeScope, Def, Project

REQUEST = "django.http.HttpRequest"
RELATIONS = ("ForeignKey", "OneToOneField")
MANAGERS = ("Manager", ".as_manager")
WITHOUT_ROWS = {"values", "values_list", "dates"}
# Base classes and re-exports are followed this far. It also ends circles of them.
MAX_DEPTH = 8

Query = tuple[str, list[str]]


class Resolver:
    """Follows names through imports, assignments, annotations, attributes and base classes.

    The origin of a query begins with its model: `shop.models.Order.objects.filter`. The origin of a
    row that a query fetched is the model itself. The origin of what cannot be followed is the empty
    string, which no pattern matches.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        # Expressions that are being resolved. An expression that refers to itself ends here.
        self._pending: set[ast.expr] = set()
        # A project asks for the same origins again and again: the answers, by the question.
        self._queries: dict[str, Query | None] = {}
        self._functions: dict[str, CodeScope | None] = {}
        self._tasks: dict[CodeScope, bool] = {}
        # Each model, with the names by which the foreign keys of other models refer back to it.
        self._related: set[tuple[str, object]] = set()
        self._related = self._read_related_names()
        self._queries.clear()

    # Origins.

    def origin(
        self, node: ast.expr | None, scope: CodeScope, local: dict[str, str] | None = None
    ) -> str:
        """The origin of an expression in a scope.

        Args:
            local: the origins of the local variables that are known.
        """
        match node:
            case ast.Name(id=name):
                return local[name] if local and name in local else self._name(name, scope)
            case ast.Attribute(value=value, attr=attr):
                if attr == "request" and isinstance(value, ast.Name) and value.id == "self":
                    return REQUEST
                base = self.origin(value, scope, local)
                return self.follow(f"{base}.{attr}") if base else ""
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.origin(value, scope, local)
            case ast.Subscript(value=value, slice=key):
                base = self.origin(value, scope, local)
                if base.endswith((".QuerySet", ".Manager")):
                    return f"{self.origin(key, scope, local)}.objects"
                return base
            case ast.BinOp(left=left, op=ast.BitOr()):
                return self.origin(left, scope, local)
            case ast.Constant(value=str() as text) if text.isidentifier():
                return self._name(text, scope)
            case ast.Call(func=func):
                return self._result(self.origin(func, scope, local))
        return ""

    def follow(self, origin: str, depth: int = 0) -> str:
        """Go on from a name that a module or class of this project only imports or assigns."""
        head, _, name = origin.rpartition(".")
        if depth > MAX_DEPTH or not head:
            return origin
        holder = self.project.modules.get(head) or self.project.scopes.get(head)
        if holder is None:
            return origin

        found = holder.names.get(name)
        if isinstance(found, str):
            return found if found == origin else self.follow(found, depth + 1)
        if isinstance(found, ast.expr) and found not in self._pending:
            self._pending.add(found)
            value = self.origin(found, holder)
            self._pending.discard(found)
            return origin if self._is_manager(head, name) or not value else value
        return origin

    def number(self, node: ast.expr | str | None, scope: CodeScope) -> int:
        """A number that is written here or at the top of a module; 1 if it is not known."""
        if isinstance(node, ast.Name):
            holder, _, name = self.origin(node, scope).rpartition(".")
            module = self.project.modules.get(holder)
            node = module.names.get(name) if module else None
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else 1

    # Functions.

    def function(self, origin: str) -> CodeScope | None:
        """The function of this project that an origin names, also one of a base class."""
        if origin in self._functions:
            return self._functions[origin]

        scope = self.project.scopes.get(origin)
        if scope is None and "." in origin:
            owner, _, name = origin.rpartition(".")
            found = self._member(owner, name)
            scope = self.project.scopes.get(found) if isinstance(found, str) else None
        function = scope if scope and not isinstance(scope.node, ast.ClassDef) else None

        if not self._pending:
            self._functions[origin] = function
        return function

    def decorators(self, scope: CodeScope) -> list[tuple[str, ast.expr]]:
        """The origin and the name of each decorator of a function, called or not."""
        if not isinstance(scope.node, Def):
            return []
        names = [
            node.func if isinstance(node, ast.Call) else node for node in scope.node.decorator_list
        ]
        return [(self.origin(name, scope.parent or scope), name) for name in names]

    def is_task(self, scope: CodeScope | None) -> bool:
        """Whether a decorator makes a function a task or a job."""
        if scope is None:
            return False
        if scope not in self._tasks:
            self._tasks[scope] = any(
                TASK_DECORATORS.matches(origin) or origin.endswith(".task")
                for origin, _ in self.decorators(scope)
            )
        return self._tasks[scope]

    # Models and queries.

    def query(self, origin: str) -> Query | None:
        """The model of a query, and the methods called on it; None if this is no query."""
        if origin in self._queries:
            return self._queries[origin]

        query = self._read_query(origin)
        if not self._pending:
            self._queries[origin] = query
        return query

    def is_query(self, origin: str) -> bool:
        """Whether this is a queryset that has not been evaluated yet."""
        found = self.query(origin)
        return found is not None and set(found[1]) <= ORM["lazy"]

    def row(self, origin: str) -> str:
        """The origin of one row of a query; empty if its rows are not instances of the model."""
        found = self.query(origin)
        return found[0] if found and WITHOUT_ROWS.isdisjoint(found[1]) else ""

    def is_model(self, origin: str, depth: int = 0) -> bool:
        """Whether this is a model whose source is known."""
        scope = self.project.scopes.get(origin)
        if scope is None or not isinstance(scope.node, ast.ClassDef) or depth > MAX_DEPTH:
            return False
        bases = [self.origin(base, scope.parent or scope) for base in scope.node.bases]
        return any(
            base == "django.db.models.Model" or self.is_model(base, depth + 1) for base in bases
        )

    def is_relation(self, model: str, name: str) -> bool:
        """Whether `name` is a foreign key of a model whose source is known."""
        value = self._member(model, name)
        return isinstance(value, ast.Call) and ast.unparse(value.func).endswith(RELATIONS)

    def _read_query(self, origin: str) -> Query | None:
        parts = origin.split(".")
        for index in range(1, len(parts)):
            model, name = ".".join(parts[:index]), parts[index]
            is_reverse = (model, name) in self._related or (
                name.endswith("_set") and self.is_model(model)
            )
            if name in ORM["managers"] or is_reverse or self._is_manager(model, name):
                return model, parts[index + 1 :]
        return None

    def _read_related_names(self) -> set[tuple[str, object]]:
        return {
            (self.origin(call.args[0], scope), keyword.value.value)
            for scope in self.project.scopes.values()
            for call in scope.names.values()
            if isinstance(call, ast.Call) and call.args
            for keyword in call.keywords
            if keyword.arg == "related_name" and isinstance(keyword.value, ast.Constant)
        }

    # Names, results and members.

    def _name(self, name: str, scope: CodeScope) -> str:
        here: CodeScope | None = scope
        while here is not None:
            # A function does not see the names of the class around it.
            is_visible = here is scope or not isinstance(here.node, ast.ClassDef)
            if name in here.names and is_visible:
                found = here.names[name]
                known = found if isinstance(found, str) else f"{here.dotted}.{name}"
                return self.follow(known)
            here = here.parent
        return f"builtins.{name}"

    def _result(self, origin: str) -> str:
        """The origin of what a call returns. Four cases:

        1. A function of this project returns what its annotation says.
        2. `async_to_sync(f)` only wraps a function, so what it returns gets a name of its own.
        3. A method that fetches a row of a query returns the model.
        4. Any other result has the origin of the function.
        """
        scope = self.project.scopes.get(origin)
        if scope is not None and isinstance(scope.node, Def):
            return self.origin(scope.node.returns, scope)
        if origin == "asgiref.sync.async_to_sync":
            return f"{origin}.call"
        head, _, method = origin.rpartition(".")
        return self.row(head) if method in FETCHING and self.is_query(head) else origin

    def _member(self, owner: str, name: str, depth: int = 0) -> str | ast.expr | None:
        """What a class of this project, or one of its base classes, holds by a name."""
        scope = self.project.scopes.get(owner)
        if scope is None or not isinstance(scope.node, ast.ClassDef) or depth > MAX_DEPTH:
            return None
        if name in scope.names:
            return scope.names[name]
        bases = (
            self._member(self.origin(base, scope.parent or scope), name, depth + 1)
            for base in scope.node.bases
        )
        return next((found for found in bases if found is not None), None)

    def _is_manager(self, model: str, name: str) -> bool:
        value = self._member(model, name)
        return isinstance(value, ast.Call) and ast.unparse(value.func).endswith(MANAGERS)
