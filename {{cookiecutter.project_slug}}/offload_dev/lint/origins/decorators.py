"""What the decorators of a function make of it: a task, a property, an endpoint."""

import ast
from collections.abc import Callable, Iterator

from offload_dev.lint.source.names import CONTEXT_MANAGERS, PROPERTIES, TASK_DECORATORS
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope, Module

Origin = Callable[[ast.expr, CodeScope], str]

RESOLVERS = Patterns("strawberry.{field,mutation}")
PAGINATES = Patterns("{ninja,ninja_extra}.*.paginate", "{ninja,ninja_extra}.paginate")
ENDPOINT_METHODS = {"get", "post", "put", "patch", "delete", "api_operation"}


class Decorators:
    """Answers questions about decorators.

    Args:
        origin: finds where an expression comes from.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        # A project asks for the same functions again and again: the answers, by the function.
        self._found: dict[CodeScope, list[tuple[str, ast.expr]]] = {}
        self._of_ninja: dict[Module, bool] = {}
        self._tasks: dict[CodeScope, bool] = {}
        self._properties: dict[CodeScope, bool] = {}

    def forget(self) -> None:
        """Ask everything again, since more origins are known now."""
        self._found.clear()

    def of(self, scope: CodeScope) -> list[tuple[str, ast.expr]]:
        """The origin and the name of each decorator of a function, called or not."""
        if not isinstance(scope.node, Def):
            return []
        if scope not in self._found:
            decorators = scope.node.decorator_list
            names = (node.func if isinstance(node, ast.Call) else node for node in decorators)
            around = scope.parent or scope
            self._found[scope] = [(self._origin(name, around), name) for name in names]
        return self._found[scope]

    def given(self, scope: CodeScope, decorators: Patterns) -> Iterator[ast.expr]:
        """The arguments of some decorators of a function."""
        assert isinstance(scope.node, Def)
        for node in scope.node.decorator_list:
            if isinstance(node, ast.Call) and decorators.matches(
                self._origin(node.func, scope.parent or scope)
            ):
                yield from (*node.args, *(each.value for each in node.keywords))

    def is_task(self, scope: CodeScope | None) -> bool:
        """Whether a decorator makes a function a task or a job."""
        if scope is None:
            return False
        if scope not in self._tasks:
            self._tasks[scope] = any(
                TASK_DECORATORS.matches(origin) or origin.endswith(".task")
                for origin, _ in self.of(scope)
            )
        return self._tasks[scope]

    def is_typed_endpoint(self, scope: CodeScope) -> bool:
        """Whether a decorator reads the queryset that a function returns, on the event loop.

        Ninja turns it into the `response` type. Strawberry reads the list of an async resolver.
        """
        assert isinstance(scope.node, Def)
        if scope.on_loop and any(RESOLVERS.matches(origin) for origin, _ in self.of(scope)):
            return True
        if not self._imports_ninja(scope.module):
            return False
        return any(
            isinstance(node, ast.Call)
            and _last_name(node.func).removeprefix("http_") in ENDPOINT_METHODS
            and any(keyword.arg == "response" for keyword in node.keywords)
            for node in scope.node.decorator_list
        )

    def _imports_ninja(self, module: Module) -> bool:
        if module not in self._of_ninja:
            self._of_ninja[module] = any("ninja" in str(e) for e in module.names.values())
        return self._of_ninja[module]

    def is_paginated(self, scope: CodeScope) -> bool:
        """Whether a decorator reads one page of the queryset that an endpoint returns.

        It does so with `async for`.
        """
        return any(PAGINATES.matches(origin) for origin, _ in self.of(scope))

    def is_property(self, scope: CodeScope) -> bool:
        """Whether reading an attribute calls this method."""
        if scope not in self._properties:
            self._properties[scope] = any(
                PROPERTIES.matches(origin) for origin, _ in self.of(scope)
            )
        return self._properties[scope]

    def is_context_manager(self, scope: CodeScope) -> bool:
        """Whether a decorator makes a generator a context manager."""
        return any(CONTEXT_MANAGERS.matches(origin) for origin, _ in self.of(scope))


def _last_name(called: ast.expr) -> str:
    """`get` of `router.get`, and `http_get` of `http_get`."""
    match called:
        case ast.Attribute(attr=name):
            return name
        case ast.Name(id=name) if name.startswith("http_"):
            return name
    return ""
