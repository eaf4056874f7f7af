"""Who runs a function: a request, an event loop of its own, or nobody in this tree."""

import ast
import re
from collections import Counter
from functools import cached_property

from offload_dev.lint.call_graph import CallGraph
from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.names import SECOND_LOOP
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.source import CodeScope, Def
from offload_dev.lint.unused import Unused

SERVES = Patterns(
    "django.views.*", "rest_framework.*", "adrf.*", "channels.*Consumer", "ninja*Controller*",
    "django.utils.deprecation.MiddlewareMixin", "starlette.middleware.*",
)  # fmt: skip
# A task of Pulp runs its stages in the loop of its own process.
OF_WORKERS = Patterns("pulpcore.plugin.stages.*Stage")
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
TO_SYNC = "asgiref.sync.async_to_sync"
ASGI = {"receive", "send"}
PLAIN = {"builtins.staticmethod", "builtins.classmethod"}
DEFINITION = re.compile(r"\bdef (\w+)")
WORD = re.compile(r"\w+")


class Callers:
    """Follows the calls of a project backwards, also those that are awaited."""

    def __init__(self, graph: CallGraph) -> None:
        self._graph = graph

    def serves_requests(self, scope: CodeScope) -> bool:
        """Whether a view, a consumer or a middleware comes to a function."""
        return scope in self._of_requests

    def has_own_loop(self, scope: CodeScope) -> bool:
        """Whether sync code starts a loop for this function alone, wherever it is called."""
        return scope in self._with_own_loop

    def is_unused(self, scope: CodeScope) -> bool:
        """Whether nothing in a service runs a function."""
        return scope in self._unused

    @cached_property
    def allows_unsafe(self) -> bool:
        """Whether a file lets queries run on an event loop: Django does not refuse them then."""
        return any("DJANGO_ALLOW_ASYNC_UNSAFE" in m.text for m in self._graph.project.files)

    @cached_property
    def _unused(self) -> set[CodeScope]:
        graph = self._graph
        return Unused(graph.project, graph.functions, graph.resolver.classes).functions

    @cached_property
    def _calls(self) -> dict[CodeScope, dict[CodeScope, list[ast.Call]]]:
        """The functions that each function calls, and the calls."""
        found: dict[CodeScope, dict[CodeScope, list[ast.Call]]] = {}
        for scope, function in self._graph.functions.items():
            found[scope] = {}
            for call in function.calls:
                for called in self._graph.targets(call, function):
                    found[scope].setdefault(called.scope, []).append(call.node)
                handed = [*map(self._graph.function, call.arguments)] if _starts(call) else []
                for each in filter(None, handed):
                    found[scope].setdefault(each.scope, []).append(call.node)
        return found

    @cached_property
    def _of_requests(self) -> set[CodeScope]:
        found = {s for s, function in self._graph.functions.items() if self._is_entry(function)}
        waiting = list(found)
        while waiting:
            new = self._calls[waiting.pop()].keys() - found
            found |= new
            waiting += new
        return found

    def _is_entry(self, function: Function) -> bool:
        """Whether a server calls a function: a view, a consumer, a middleware, an ASGI app."""
        node, owner = function.scope.node, function.scope.owner
        assert isinstance(node, Def)
        if function.takes_request or {each.arg for each in node.args.args} >= ASGI:
            return True
        if owner is not None and self._graph.resolver.classes.is_a(owner.dotted, SERVES):
            return True
        return any(getattr(name, "attr", "") in ROUTES for _, name in function.decorators)

    @cached_property
    def _with_own_loop(self) -> set[CodeScope]:
        """The functions whose callers, at least one, all start a loop, or have one themselves."""
        callers: dict[CodeScope, list[tuple[CodeScope, list[ast.Call]]]] = {}
        for caller, called in self._calls.items():
            for scope, calls in called.items():
                if scope is not caller:
                    callers.setdefault(scope, []).append((caller, calls))
        known = {
            scope
            for scope, function in self._graph.functions.items()
            if scope.module.has_own_loop
            or self._is_of_worker(scope)
            or any(origin == TO_SYNC for origin, _ in function.decorators)
        }
        grows = True
        while grows:
            new = {
                scope
                for scope, found in callers.items()
                if scope not in known
                and not _is_registered(self._graph.functions[scope])
                and self._are_all(scope, found)
                and all(self._starts_loop(caller, calls, known) for caller, calls in found)
            }
            known |= new
            grows = bool(new)
        return known

    def _is_of_worker(self, scope: CodeScope) -> bool:
        """Whether a process that has nothing else to do runs a method."""
        classes = self._graph.resolver.classes
        return scope.owner is not None and classes.is_a(scope.owner.dotted, OF_WORKERS)

    def _are_all(self, scope: CodeScope, callers: list[tuple[CodeScope, list[ast.Call]]]) -> bool:
        """Whether these calls are all places that name a function."""
        name = scope.label.rpartition(".")[2]
        known = self._definitions[name] + sum(len(calls) for _, calls in callers)
        return self._words[name] <= known

    def _starts_loop(self, caller: CodeScope, calls: list[ast.Call], known: set[CodeScope]) -> bool:
        if caller in known:
            return True
        runs = self._runs.get(caller, set())
        return not caller.on_loop and runs.issuperset(calls)

    @cached_property
    def _runs(self) -> dict[CodeScope, set[ast.AST]]:
        """The calls that stand in `asyncio.run(…)` and the like, by the function around them."""
        return {
            scope: {
                node
                for call in function.calls
                if SECOND_LOOP.matches(call.origin) or _starts(call)
                for node in ast.walk(call.node)
            }
            for scope, function in self._graph.functions.items()
        }

    @cached_property
    def _words(self) -> Counter[str]:
        texts = (module.text for module in self._graph.project.files)
        return Counter(word for text in texts for word in WORD.findall(text))

    @cached_property
    def _definitions(self) -> Counter[str]:
        texts = (module.text for module in self._graph.project.files)
        return Counter(name for text in texts for name in DEFINITION.findall(text))


def _starts(call: CallSite) -> bool:
    """Whether a call gets a function, and runs it in a loop of its own."""
    return call.origin == TO_SYNC


def _is_registered(function: Function) -> bool:
    """Whether a decorator may hand the function to somebody."""
    return any(origin not in PLAIN for origin, _ in function.decorators)
