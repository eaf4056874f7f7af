"""Where a value comes from, as one dotted name: `Path("x").read_text` is `pathlib.Path.read_text`."""

import ast

from offload_dev.lint.names import FETCHING, ORM
from offload_dev.lint.source import Project, Scope

REQUEST = "django.http.HttpRequest"
RELATIONS = ("ForeignKey", "OneToOneField")


class Origins:
    """Follows names through imports, assignments, constructors, annotations, attributes and base
    classes.

    A query is named by its model: `shop.models.Order.objects.filter`; a row fetched by one is the
    model itself. What cannot be followed is the empty string, and matches nothing.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._pending: set[ast.expr] = set()
        self.related = {
            (self.of(call.args[0], scope), keyword.value.value)
            for scope in project.scopes.values()
            for call in scope.names.values()
            if isinstance(call, ast.Call) and call.args
            for keyword in call.keywords
            if keyword.arg == "related_name" and isinstance(keyword.value, ast.Constant)
        }

    def of(self, node: ast.expr | None, scope: Scope, local: dict[str, str] | None = None) -> str:
        """The origin of an expression, in a scope, with what local variables are known to hold."""
        match node:
            case ast.Name(id=name):
                return local[name] if local and name in local else self._name(name, scope)
            case ast.Attribute(value=value, attr=attr):
                if attr == "request" and isinstance(value, ast.Name) and value.id == "self":
                    return REQUEST
                base = self.of(value, scope, local)
                return self.follow(f"{base}.{attr}") if base else ""
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.of(value, scope, local)
            case ast.Subscript(value=value, slice=key):
                base = self.of(value, scope, local)
                if base.endswith((".QuerySet", ".Manager")):
                    return f"{self.of(key, scope, local)}.objects"
                return base
            case ast.BinOp(left=left, op=ast.BitOr()):
                return self.of(left, scope, local)
            case ast.Constant(value=str() as text) if text.isidentifier():
                return self._name(text, scope)
            case ast.Call(func=func):
                return self._result(self.of(func, scope, local))
        return ""

    def number(self, node: ast.expr | str | None, scope: Scope) -> int:
        """A number that is written here or at some module's level; 1 if it is not known."""
        if isinstance(node, ast.Name):
            holder, _, name = self.of(node, scope).rpartition(".")
            module = self.project.modules.get(holder)
            node = module.names.get(name) if module else None
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else 1

    def query(self, origin: str) -> tuple[str, list[str]] | None:
        """The model and the methods called on it, if this is a query or what became of one."""
        parts = origin.split(".")
        for index in range(1, len(parts)):
            model, name = ".".join(parts[:index]), parts[index]
            reverse = (model, name) in self.related or (
                name.endswith("_set") and self.is_model(model)
            )
            if name in ORM["managers"] or reverse or self._manager(model, name):
                return model, parts[index + 1 :]
        return None

    def is_query(self, origin: str) -> bool:
        """Whether this is a queryset that has not been evaluated yet."""
        found = self.query(origin)
        return found is not None and set(found[1]) <= ORM["lazy"]

    def row(self, origin: str) -> str:
        """The origin of one row of a query; nothing if its rows are no models."""
        found = self.query(origin)
        return found[0] if found and not {"values", "values_list", "dates"} & set(found[1]) else ""

    def is_model(self, origin: str, depth: int = 0) -> bool:
        """Whether this is a model whose source is known."""
        scope = self.project.scopes.get(origin)
        if scope is None or not isinstance(scope.node, ast.ClassDef) or depth > 8:
            return False
        bases = [self.of(base, scope.parent or scope) for base in scope.node.bases]
        return any(
            base == "django.db.models.Model" or self.is_model(base, depth + 1) for base in bases
        )

    def relation(self, model: str, name: str) -> bool:
        """Whether `name` is a foreign key of a model whose source is known."""
        value = self._member(model, name)
        return isinstance(value, ast.Call) and ast.unparse(value.func).endswith(RELATIONS)

    def function(self, origin: str) -> Scope | None:
        """The function of this project that an origin names, looked up in base classes, too."""
        scope = self.project.scopes.get(origin)
        if scope is None and "." in origin:
            owner, _, name = origin.rpartition(".")
            found = self._member(owner, name)
            scope = self.project.scopes.get(found) if isinstance(found, str) else None
        return scope if scope and not isinstance(scope.node, ast.ClassDef) else None

    def follow(self, origin: str, depth: int = 0) -> str:
        """Go on from a name that a module or class of this project only imports or assigns."""
        head, _, name = origin.rpartition(".")
        if depth > 8 or not head:
            return origin
        holder = self.project.modules.get(head) or self.project.scopes.get(head)
        if holder is None:
            return origin
        found = holder.names.get(name)
        if isinstance(found, str):
            return found if found == origin else self.follow(found, depth + 1)
        if isinstance(found, ast.expr) and found not in self._pending:
            self._pending.add(found)
            value = self.of(found, holder)
            self._pending.discard(found)
            return origin if self._manager(head, name) or not value else value
        return origin

    def _name(self, name: str, scope: Scope) -> str:
        here: Scope | None = scope
        while here is not None:
            if name in here.names and (here is scope or not isinstance(here.node, ast.ClassDef)):
                found = here.names[name]
                return (
                    self.follow(found)
                    if isinstance(found, str)
                    else self.follow(f"{here.dotted}.{name}")
                )
            here = here.parent
        return f"builtins.{name}"

    def _result(self, origin: str) -> str:
        function = self.project.scopes.get(origin)
        if function is not None and isinstance(
            function.node, ast.FunctionDef | ast.AsyncFunctionDef
        ):
            return self.of(function.node.returns, function)
        if origin == "asgiref.sync.async_to_sync":
            # Wrapping is harmless, calling the wrapped is not.
            return f"{origin}.call"
        head, _, method = origin.rpartition(".")
        return self.row(head) if method in FETCHING and self.is_query(head) else origin

    def _member(self, owner: str, name: str, depth: int = 0) -> str | ast.expr | None:
        scope = self.project.scopes.get(owner)
        if scope is None or not isinstance(scope.node, ast.ClassDef) or depth > 8:
            return None
        if name in scope.names:
            return scope.names[name]
        bases = (
            self._member(self.of(base, scope.parent or scope), name, depth + 1)
            for base in scope.node.bases
        )
        return next((found for found in bases if found is not None), None)

    def _manager(self, model: str, name: str) -> bool:
        value = self._member(model, name)
        return isinstance(value, ast.Call) and ast.unparse(value.func).endswith(
            ("Manager", ".as_manager")
        )
