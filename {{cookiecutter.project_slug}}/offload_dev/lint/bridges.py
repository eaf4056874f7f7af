"""Ways from a request's thread back to a loop: a deadlock where the coroutine asks for that very
thread.
"""

import ast
from collections.abc import Iterator, Mapping

from offload_dev.lint.facts import Call, Facts
from offload_dev.lint.names import among, stops
from offload_dev.lint.origins import Origins
from offload_dev.lint.sites import Site, in_request_thread, is_async_query, words
from offload_dev.lint.source import Scope


class Bridges:
    """Plain functions that wait for a coroutine that needs the request's thread. `async_to_sync`
    lends it meanwhile.
    """

    def __init__(self, facts: Mapping[Scope, Facts], origins: Origins) -> None:
        self.facts, self.origins = facts, origins
        self._known: dict[Scope, bool] = {}

    def sites(self, facts: Facts) -> Iterator[Site]:
        """The calls of a plain function that run such a coroutine to its end."""
        for call in facts.calls:
            if stops(call.origin) == "OFF106" and call.origin != "asgiref.sync.async_to_sync.call":
                # run_coroutine_threadsafe(…) itself, maybe a line before.
                given = call.origin.removesuffix(".result")
                run = [
                    other.node for other in facts.calls if other is call or other.origin == given
                ]
                parts = [part for node in run for part in ast.walk(node)]
                if any(
                    part in facts.by_node and self._needs_thread(facts.by_node[part])
                    for part in parts
                ):
                    yield Site("OFF109", call.node, f"{words(call.node.func)}()")

    def _needs_thread(self, call: Call) -> bool:
        """Whether the coroutine that a call makes comes to a query, or to another thread-sensitive
        call.
        """
        if is_async_query(call, self.origins) or among(call.origin, "orm", "coroutines"):
            return True
        if among(call.origin, "moves", "request_thread"):
            return in_request_thread(call.origin, call.node)
        function = self.origins.function(call.origin)
        return function is not None and function.on_loop and self._comes_to_it(function)

    def _comes_to_it(self, coroutine: Scope) -> bool:
        if coroutine not in self._known:
            # Ends recursion.
            self._known[coroutine] = False
            facts = self.facts[coroutine]
            own = any(
                origin == "asgiref.sync.ThreadSensitiveContext" for _, _, origin in facts.blocks
            )
            self._known[coroutine] = not own and (
                bool(facts.streamed) or any(map(self._needs_thread, facts.calls))
            )
        return self._known[coroutine]
