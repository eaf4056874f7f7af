"""The functions that a signal calls."""

import ast
from collections.abc import Iterable, Mapping

from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

OF_ROWS = Patterns("django.db.models.signals.{pre,post}_{save,delete}")


class Receivers:
    """The receivers of each signal, connected by a decorator or by `signal.connect(f)`."""

    def __init__(
        self,
        functions: Mapping[CodeScope, Function],
        bodies: Iterable[Function],
        resolver: Resolver,
    ) -> None:
        self._by_signal: dict[str, list[Function]] = {}
        for scope, function in functions.items():
            for signal in _signals(scope, resolver):
                self._by_signal.setdefault(signal, []).append(function)
        for function in (*functions.values(), *bodies):
            for call in function.calls:
                if call.method == "connect" and call.arguments:
                    receiver = resolver.function(call.arguments[0])
                    if receiver is not None and receiver in functions:
                        found = self._by_signal.setdefault(call.holder, [])
                        found.append(functions[receiver])

    def of_saved_rows(self) -> set[CodeScope]:
        """The functions that run inside of the `save` or `delete` of a row."""
        return {
            function.scope
            for signal, functions in self._by_signal.items()
            if OF_ROWS.matches(signal)
            for function in functions
        }

    def of(self, signal: str) -> list[Function]:
        """The functions that `signal.send()` calls; none if the signal is not known."""
        return self._by_signal.get(signal, []) if signal else []


def _signals(scope: CodeScope, resolver: Resolver) -> Iterable[str]:
    """The origins of the signals in `@receiver(signal)` and `@receiver([first, second])`."""
    if not isinstance(scope.node, Def):
        return
    around = scope.parent or scope
    for node in scope.node.decorator_list:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if resolver.origin(node.func, around) == "django.dispatch.receiver":
            first = node.args[0]
            named = first.elts if isinstance(first, ast.List | ast.Tuple) else [first]
            yield from (resolver.origin(each, around) for each in named)
