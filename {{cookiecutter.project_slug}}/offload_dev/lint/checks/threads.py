"""Functions that are handed to another thread."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.names import PROCESS_POOLS, REQUEST_THREAD, THREAD_POOLS, TO_THREAD
from offload_dev.lint.source.nodes import Def, all_nodes


class Moved(NamedTuple):
    """A function that is handed to a thread.

    Args:
        node: where that is written.
        origin: the origin of the function.
        call: the call as the thread makes it; None if it is not known.
        to_request_thread: whether the thread is the request's own.
    """

    node: ast.AST
    origin: str
    call: ast.Call | None = None
    to_request_thread: bool = False


def moved_to_threads(function: Function) -> Iterator[Moved]:
    """What a function hands to threads. Four cases:

    1. A decorator does it with the function itself.
    2. A wrapper, such as `asyncio.to_thread`, gets another function.
    3. A pool of threads gets it, as in `pool.submit(f, 1)`.
    4. `run_in_executor` gets another function. A pool of processes is no thread.
    """
    node = function.scope.node
    wrappers = node.decorator_list if isinstance(node, Def) else []
    for (origin, _), wrapper in zip(function.decorators, wrappers, strict=True):
        if TO_THREAD.matches(origin):
            yield Moved(node, function.scope.dotted, None, uses_request_thread(origin, wrapper))

    for call in function.calls:
        if TO_THREAD.matches(call.origin) and call.arguments:
            made = _call_of_result(call, function) or _without(call.node, 1)
            in_request = uses_request_thread(call.origin, call.node)
            moved = Moved(call.node, call.arguments[0], made, in_request)
            yield from _moved(moved, call.node.args[0], function)

        elif THREAD_POOLS.matches(call.holder) and call.method in ("submit", "map", "apply_async"):
            if call.arguments:
                moved = Moved(call.node, call.arguments[0], _without(call.node, 1))
                yield from _moved(moved, call.node.args[0], function)

        elif call.origin.endswith(".run_in_executor") and len(call.arguments) > 1:
            pool, origin = call.arguments[:2]
            moved = Moved(call.node, origin, _without(call.node, 2))
            if not PROCESS_POOLS.matches(pool):
                yield from _moved(moved, call.node.args[1], function)


def _moved(moved: Moved, given: ast.expr, function: Function) -> Iterator[Moved]:
    """What is handed over; for a lambda, what it calls."""
    if not isinstance(given, ast.Lambda):
        yield moved
        return
    for node in all_nodes(given.body):
        if isinstance(node, ast.Call):
            yield moved._replace(origin=function.origin_of(node.func), call=node)


def uses_request_thread(origin: str, wrapper: ast.expr) -> bool:
    """Whether a wrapped function runs in the request's own thread, as asgiref does by default."""
    if not REQUEST_THREAD.matches(origin):
        return False
    named = ast.unparse(wrapper.func if isinstance(wrapper, ast.Call) else wrapper)

    # If the name differs, this is not the wrapper but the wrapped function that it returned.
    is_wrapper = named.endswith(origin.rpartition(".")[2])
    return is_wrapper and "thread_sensitive" not in ast.unparse(wrapper)


def _call_of_result(call: CallSite, function: Function) -> ast.Call | None:
    """The call `f(1)` of `sync_to_async(f)(1)`."""
    return next((other.node for other in function.calls if other.node.func is call.node), None)


def _without(call: ast.Call, count: int) -> ast.Call:
    """The call `f(1)` of `to_thread(f, 1)`, made of all but the first `count` arguments."""
    return ast.Call(call.args[count - 1], call.args[count:], call.keywords)
