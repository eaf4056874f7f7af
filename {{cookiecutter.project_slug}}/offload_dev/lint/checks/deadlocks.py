"""Waiting in a request's thread for a coroutine that needs the same thread, which is a deadlock."""

import ast
from collections.abc import Iterator, Mapping

from offload_dev.lint.checks.threads import uses_request_thread
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function, is_async_query
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import ORM_COROUTINES, REQUEST_THREAD, SECOND_LOOP
from offload_dev.lint.source.nodes import all_nodes
from offload_dev.lint.source.tree import CodeScope

# It lends the thread to the coroutine while it waits.
LENDS_THREAD = "asgiref.sync.async_to_sync.call"


class Deadlocks:
    """Finds plain functions that wait for a coroutine that needs the request's thread."""

    def __init__(self, functions: Mapping[CodeScope, Function], resolver: Resolver) -> None:
        self.functions, self.resolver = functions, resolver
        self._known: dict[CodeScope, bool] = {}

    def violations(self, function: Function) -> Iterator[Violation]:
        """The calls of a plain function that run such a coroutine to its end."""
        if function.scope.on_loop:
            return
        for call in function.calls:
            if SECOND_LOOP.matches(call.origin) and call.origin != LENDS_THREAD:
                coroutines = self._coroutines_of(call, function)
                if any(map(self._needs_thread, coroutines)):
                    yield call_violation(call.node)

    def _coroutines_of(self, call: CallSite, function: Function) -> Iterator[CallSite]:
        """The calls in the arguments: of the call itself, or of the one that gave its `.result()`.

        `run_coroutine_threadsafe(…)` may stand a line before its `.result()`.
        """
        started = call.origin.removesuffix(".result")
        for other in function.calls:
            if other is call or other.origin == started:
                for part in all_nodes(other.node):
                    if isinstance(part, ast.Call) and part in function.calls_by_node:
                        yield function.calls_by_node[part]

    def _needs_thread(self, call: CallSite) -> bool:
        """Whether the coroutine of a call runs a query or another call in the request's thread."""
        if is_async_query(call, self.resolver) or ORM_COROUTINES.matches(call.origin):
            return True
        if REQUEST_THREAD.matches(call.origin):
            return uses_request_thread(call.origin, call.node)
        scope = self.resolver.function(call.origin)
        return scope is not None and scope.on_loop and self._coroutine_needs_thread(scope)

    def _coroutine_needs_thread(self, scope: CodeScope) -> bool:
        if scope not in self._known:
            # A coroutine that awaits itself ends here.
            self._known[scope] = False
            function = self.functions[scope]
            has_own_thread = any(
                block.origin == "asgiref.sync.ThreadSensitiveContext" for block in function.blocks
            )
            self._known[scope] = not has_own_thread and (
                bool(function.streamed) or any(map(self._needs_thread, function.calls))
            )
        return self._known[scope]
