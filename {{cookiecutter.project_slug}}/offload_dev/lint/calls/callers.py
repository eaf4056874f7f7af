"""Who runs a function: a request, an event loop of its own, or nobody in this tree."""

import ast
import re
from collections.abc import Iterator
from functools import cached_property

from offload_dev.lint.calls.alone import Alone, is_registered
from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.calls.mentions import Mention, mentions
from offload_dev.lint.calls.own_loops import runs_given
from offload_dev.lint.calls.unused import ASYNC_HOOK, HOOKS, QUIET, ROWS, Unused
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import ON_LOOP, TO_THREAD
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

SERVES = Patterns(
    "django.views.*", "rest_framework.*", "adrf.*", "channels.*Consumer", "ninja*Controller*",
    "django.utils.deprecation.MiddlewareMixin", "starlette.middleware.*",
)  # fmt: skip
# Methods of a router that register the function below them: `@router.get("/orders")`.
ROUTES = {
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "api_operation",
    "api_route",
    "route",
    "websocket",
}
ASGI = {"receive", "send"}
CANCELS = re.compile(r"\.cancel\(|\b(wait_for|timeout|timeout_at|move_on_after|fail_after)\(")


class Callers:
    """Follows the calls of a project backwards, also those that are awaited."""

    def __init__(self, graph: CallGraph) -> None:
        self._graph = graph

    def serves_requests(self, scope: CodeScope) -> bool:
        """Whether a view, a consumer or a middleware comes to a function."""
        return scope in self._of_requests

    def may_serve_requests(self, scope: CodeScope) -> bool:
        """Whether a request comes to a function, as far as the tree tells.

        Others call the functions of a tree that is no service.
        """
        return scope in self._of_requests or not self._graph.project.is_service

    def has_own_loop(self, scope: CodeScope) -> bool:
        """Whether sync code starts a loop for this function alone, wherever it is called."""
        return scope in self._alone.certain

    def has_view_loop(self, scope: CodeScope) -> bool:
        """Whether a request comes to a function, under a server that runs each view alone."""
        settings = self._graph.resolver.settings
        is_plain = settings.names_no_async_server or settings.starts_plain_server
        return is_plain and self.serves_requests(scope)

    def is_unused(self, scope: CodeScope) -> bool:
        """Whether nothing in a service runs a function."""
        return scope in self._unused.functions

    def may_be_unused(self, scope: CodeScope) -> bool:
        """Whether a function runs only if a name stands for it that may stand for others."""
        return scope in self._unused.in_doubt

    def may_be_alone(self, scope: CodeScope) -> bool:
        """Whether nothing that shares a loop comes to a coroutine, as far as calls are known.

        Others call the coroutines of a tree that is no service.
        """
        is_open = scope not in self._alone.shared and self._graph.project.is_service
        return scope.on_loop and (scope in self._alone.likely or is_open)

    @cached_property
    def allows_unsafe(self) -> bool:
        """Whether a file lets queries run on an event loop: Django does not refuse them then."""
        return any("DJANGO_ALLOW_ASYNC_UNSAFE" in m.text for m in self._graph.project.files)

    @cached_property
    def cancels_tasks(self) -> bool:
        """Whether a line of the project may cancel a task, or limits how long it runs."""
        return any(CANCELS.search(module.text) for module in self._graph.project.files)

    @cached_property
    def _unused(self) -> Unused:
        graph = self._graph
        return Unused(graph.project, graph.functions, graph.resolver, self._mentions)

    @cached_property
    def _alone(self) -> Alone:
        return Alone(
            self._graph, self._calls, self._mentions, self._unused, self._is_called_by_others
        )

    @cached_property
    def _calls(self) -> dict[CodeScope, dict[CodeScope, list[ast.Call]]]:
        """The functions that each function calls, and the calls."""
        found: dict[CodeScope, dict[CodeScope, list[ast.Call]]] = {}
        for scope, function in self._graph.functions.items():
            found[scope] = {}
            for call in function.calls:
                for called in self._graph.targets.of(call, function):
                    found[scope].setdefault(called.scope, []).append(call.node)
                handed = [*map(self._graph.function, call.arguments)] if runs_given(call) else []
                for each in filter(None, handed):
                    found[scope].setdefault(each.scope, []).append(call.node)
        return found

    @cached_property
    def _of_requests(self) -> set[CodeScope]:
        found = {s for s, function in self._graph.functions.items() if self._is_entry(function)}
        waiting = list(found)
        while waiting:
            scope = waiting.pop()
            new = {*self._calls[scope], *self._in_threads(self._graph.functions[scope])} - found
            found |= new
            waiting += new
        return found

    def _in_threads(self, function: Function) -> Iterator[CodeScope]:
        """The functions that a function hands to a thread, and waits for."""
        for call in function.calls:
            if TO_THREAD.matches(call.origin) or call.method == "run_in_executor":
                named = map(self._graph.function, call.arguments)
                yield from (each.scope for each in named if each is not None)

    def is_tool(self, scope: CodeScope) -> bool:
        """Whether a decorator makes a function one that a client of the server calls."""
        decorators = self._graph.functions[scope].decorators
        return any(ON_LOOP.matches(origin) for origin, _ in decorators)

    def _is_entry(self, function: Function) -> bool:
        """Whether a server calls a function: a view, a consumer, a middleware, an ASGI app."""
        node, owner = function.scope.node, function.scope.owner
        assert isinstance(node, Def)
        if self.is_tool(function.scope):
            return True
        if function.takes_request or {each.arg for each in node.args.args} >= ASGI:
            return True
        is_served = owner is not None and self._graph.resolver.classes.is_a(owner.dotted, SERVES)
        if is_served and not function.scope.is_private:
            return True
        return any(getattr(name, "attr", "") in ROUTES for _, name in function.decorators)

    @cached_property
    def _mentions(self) -> dict[str, list[Mention]]:
        return mentions(self._graph.project)

    def _is_called_by_others(self, scope: CodeScope) -> bool:
        """Whether a decorator, a server or a library's class may call a function by itself."""
        function, classes = self._graph.functions[scope], self._graph.resolver.classes
        if is_registered(function) or self._is_entry(function):
            return True
        if scope.is_private and HOOKS.fullmatch(scope.bare_name) is None:
            return False
        bases = classes.lineage(scope.owner.dotted) if scope.owner else []
        outside = [each for each in bases if classes.scope(each) is None]
        # Django awaits one method of its managers, and none of a row.
        is_of_rows = scope.on_loop and scope.bare_name != ASYNC_HOOK
        return not all(QUIET.matches(e) or (is_of_rows and ROWS.matches(e)) for e in outside)
