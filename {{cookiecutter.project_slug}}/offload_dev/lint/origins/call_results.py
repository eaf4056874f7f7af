"""What calls return, as origins: an instance, a row, what a function of the project returns."""

import ast
from typing import Protocol

from offload_dev.lint.origins.containers import Containers, only
from offload_dev.lint.origins.conventions import Conventions
from offload_dev.lint.origins.decorators import Decorators
from offload_dev.lint.origins.local_types import LocalTypes, Types
from offload_dev.lint.origins.models import Models
from offload_dev.lint.origins.queries import Queries
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import FETCHING, REQUEST, TO_THREAD
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import CodeScope

GET_OR_404 = {"django.shortcuts.get_object_or_404", "django.shortcuts.aget_object_or_404"}
# They return what they get, or what runs it.
WRAPPERS = {"functools.partial", "builtins.staticmethod", "builtins.classmethod"}
# Values and functions whose origin depends on one another are followed this far.
MAX_PENDING = 20


class Names(Protocol):
    """What `CallResults` asks the resolver.

    Attributes:
        pending: the expressions and functions that are being resolved. What refers to itself ends
            there.
    """

    classes: Classes
    containers: Containers
    conventions: Conventions
    decorators: Decorators
    local_types: LocalTypes
    models: Models
    pending: set[ast.AST]
    queries: Queries

    def origin(self, node: ast.expr | None, scope: CodeScope, local: Types | None = None) -> str:
        """The origin of an expression."""

    def annotation(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of the type that an annotation names."""

    def function(self, origin: str) -> CodeScope | None:
        """The function of this project that an origin names."""


class CallResults:
    """Finds what calls return."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._inferred: dict[CodeScope, str] = {}

    def forget(self) -> None:
        """Ask everything again, since more origins are known now."""
        self._inferred.clear()

    def of_call(self, call: ast.Call, scope: CodeScope, local: Types | None) -> str:
        """The origin of what a call returns. Calls that only pass on have cases of their own."""
        # 1. What Python itself gives back: a base class, an attribute, an item.
        if known := self._read_by_call(call, scope, local):
            return known

        if made := self._returned_by_super(call.func, scope):
            return made

        # 2. `sync_to_async(f)(1)`, `to_thread(f, 1)` and the like return what `f` returns.
        origin = self._names.origin(call.func, scope, local)
        wrapper = call.func if isinstance(call.func, ast.Call) else None
        wraps = self._names.origin(wrapper.func, scope, local) if wrapper and wrapper.args else ""
        if wrapper is not None and TO_THREAD.matches(wraps):
            return self._of_called(wrapper.args[0], scope, local)
        if call.args:
            if origin == "asyncio.to_thread":
                return self._of_called(call.args[0], scope, local)
            if origin.endswith(".run_in_executor") and len(call.args) > 1:
                return self._of_called(call.args[1], scope, local)

            # 3. `partial(f)` and `Depends(f)` stand for `f`, and for what it returns.
            if origin in WRAPPERS:
                return self._names.origin(call.args[0], scope, local)
            if origin.endswith(".Depends"):
                return self._of_origin(self._names.origin(call.args[0], scope, local))

            # 4. `get_object_or_404(Order)` fetches a row.
            if origin in GET_OR_404:
                found = self._names.origin(call.args[0], scope, local)
                is_model = self._names.models.is_model(found)
                return found if is_model else self._names.queries.row(found)

            # 5. `apps.get_model("shop.Order")`.
            if origin == "django.apps.apps.get_model":
                texts = [a.value for a in call.args if isinstance(a, ast.Constant)]
                return self._names.models.named(".".join(map(str, texts))) or origin
        return self._of_origin(origin)

    def of_function(self, scope: CodeScope, owner: str) -> str:
        """The origin of what a function of this project returns, called on `owner`."""
        assert isinstance(scope.node, Def)
        found = self._names.annotation(self._return_annotation(scope, scope.node.returns), scope)
        if not found:
            found = self._infer(scope)
        # A method that returns its own instance returns one of the class it is called on.
        is_own = scope.owner is not None and found.startswith(scope.owner.dotted)
        if is_own and scope.owner is not None and self._names.models.query(owner) is not None:
            return owner + found.removeprefix(scope.owner.dotted)
        return found

    def of_named(self, name: str, owner: str) -> str:
        """The origin of what a function of this project returns; empty if there is none."""
        scope = self._names.function(name)
        return "" if scope is None else self.of_function(scope, owner)

    def _of_called(self, called: ast.expr, scope: CodeScope, local: Types | None) -> str:
        """The origin of what a function returns that another thread runs; of a lambda, its body."""
        if isinstance(called, ast.Lambda):
            return self._names.origin(called.body, scope, local)
        return self._of_origin(self._names.origin(called, scope, local))

    def _returned_by_super(self, called: ast.expr, scope: CodeScope) -> str:
        """The origin of what the framework's own method returns: `super().update(row, data)`."""
        match called:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if scope.owner:
                return self._names.conventions.returned(scope.owner.dotted, name)
        return ""

    def _read_by_call(self, call: ast.Call, scope: CodeScope, local: Types | None) -> str:
        """The origin of what a call only reads; empty if it is no such call. Three cases:

        1. `super()`, seen from a method.
        2. `getattr(request, "user", None)` reads an attribute.
        3. `self.clients.pop(key)` returns an item.
        """
        match call:
            case ast.Call(func=ast.Name(id="super")) if scope.owner:
                lineage = self._names.classes.lineage(scope.owner.dotted)
                return lineage[1] if len(lineage) > 1 else ""
            case ast.Call(func=ast.Name(id="getattr"), args=[of, ast.Constant(value=name), *_]):
                return self._names.origin(ast.Attribute(of, str(name), ast.Load()), scope, local)
            case ast.Call(func=ast.Attribute(value=held, attr="get" | "pop" | "setdefault")):
                return self._names.containers.element(held, scope, local)
        return ""

    def _of_origin(self, origin: str) -> str:
        """The origin of what a function returns. Seven cases:

        1. A function of this project returns what its annotation or its source says.
        2. `async_to_sync(f)` only wraps a function, so what it returns gets a name of its own.
        3. `get_user_model()` returns the model of users.
        4. `request.auser()` returns a row of it.
        5. A method that fetches a row of a query returns the model.
        6. A method that a class has of its framework returns what the class declares.
        7. Any other result has the origin of the function: an instance that of its class.
        """
        head, _, method = origin.rpartition(".")
        scope = self._names.function(origin)
        if scope is not None:
            return self.of_function(scope, head)
        if origin == "asgiref.sync.async_to_sync":
            return f"{origin}.call"
        if origin in ("django.contrib.auth.get_user_model", f"{REQUEST}.auser"):
            return self._names.models.user
        if method in FETCHING and self._names.queries.is_query(head):
            return self._names.queries.row(head)
        return self._names.conventions.returned(head, method) or origin

    def _return_annotation(self, scope: CodeScope, node: ast.expr | None) -> ast.expr | None:
        """`Redis` of a context manager's `-> Iterator[Redis]`."""
        decorators = self._names.decorators
        if not isinstance(node, ast.Subscript) or not decorators.is_context_manager(scope):
            return node
        return node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice

    def _infer(self, scope: CodeScope) -> str:
        """The origin of the values that a function returns, if all have the same one."""
        if scope not in self._inferred and len(self._names.pending) <= MAX_PENDING:
            # A function that returns what it returns ends here.
            self._inferred[scope] = ""
            names = self._names
            names.pending.add(scope.node)
            local = names.local_types.of(scope)
            yields = names.decorators.is_context_manager(scope)
            values = names.local_types.returned(scope, yields=yields)
            self._inferred[scope] = only(names.origin(value, scope, local) for value in values)
            names.pending.discard(scope.node)
        return self._inferred.get(scope, "")
