"""What stops the thread that runs a function: a fault wherever that thread is the event loop's."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from offload_dev.lint.facts import Call, Facts, awaits
from offload_dev.lint.names import ORM, PUBLISH, among, stops
from offload_dev.lint.origins import REQUEST, Origins
from offload_dev.lint.sites import Site, decorators, in_request_thread, is_task, words
from offload_dev.lint.source import Def
from offload_dev.lint.turns import long_loops


def on_thread(facts: Facts, origins: Origins) -> Iterator[Site]:
    """What stops the thread that runs this function: a fault if that thread is the loop's."""
    for node, origin in facts.evaluated:
        if origin == f"{REQUEST}.session":
            yield Site("OFF103", node, words(node))
        else:
            yield Site("OFF101", node, words(node))
    yield from (Site("OFF102", node, words(node)) for node in facts.disguised)
    yield from long_loops(facts)
    for block, context, origin in facts.blocks:
        if origin == "django.db.transaction.atomic":
            yield Site("OFF104", block, words(context))
        elif (
            among(origin, "objects", "locks") and isinstance(block, ast.With) and awaits(block.body)
        ):
            yield Site("OFF105", block, words(context))
    for call in facts.calls:
        if site := _stopping(call, facts, origins):
            yield site


def _stopping(call: Call, facts: Facts, origins: Origins) -> Site | None:
    head, _, method = call.origin.rpartition(".")
    subject = f"{words(call.node.func)}()"
    if among(call.origin, "objects", "clients"):
        return None if _is_kept(call.node, facts, origins) else Site("OFF403", call.node, subject)
    if call.awaited:
        return (
            Site("OFF201", call.node, subject)
            if among(call.origin, "computes", "awaited")
            else None
        )
    if method in ORM["evaluating"] and origins.is_query(head):
        return Site("OFF101", call.node, subject)
    if method in ORM["on_rows"] and origins.is_model(head):
        return Site("OFF101", call.node, subject)
    if is_task(origins.function(call.origin), origins) or (
        method == "apply" and is_task(origins.function(head), origins)
    ):
        return Site("OFF303", call.node, subject)
    name = call.node.func.attr if isinstance(call.node.func, ast.Attribute) else ""
    if name in PUBLISH and not origins.function(call.origin):
        known = is_task(origins.function(head), origins) or call.origin.startswith("celery.")
        return Site("OFF301", call.node, subject, doubtful=not known)
    if (
        call.origin == "json.loads"
        and call.arguments
        and call.arguments[0].startswith(f"{REQUEST}.body")
    ):
        return Site("OFF205", call.node, subject)
    rule = stops(call.origin)
    if rule is None:
        return None
    by_size, in_gil = (among(call.origin, "computes", name) for name in ("by_size", "holding_gil"))
    return Site(rule, call.node, subject, doubtful=by_size, in_gil=in_gil)


def _is_kept(client: ast.Call, facts: Facts, origins: Origins) -> bool:
    """Whether a client outlives the call: kept by an object, or made for as long as a context
    manager is open.
    """
    managers = [origin for origin, _ in decorators(facts.scope, origins)]
    kept = (
        node
        for node in ast.walk(facts.scope.node)
        if isinstance(node, ast.Assign) and node.value is client
    )
    return "contextlib.asynccontextmanager" in managers or any(
        isinstance(target, ast.Attribute) for assign in kept for target in assign.targets
    )


@dataclass(frozen=True)
class Moved:
    """A function, by its origin, that is handed to a thread."""

    node: ast.AST
    origin: str
    # As the thread makes it, where that is known.
    call: ast.Call | None = None
    # To the request's own.
    in_request: bool = False


def moved_to_threads(facts: Facts, origins: Origins) -> Iterator[Moved]:
    """What this function hands to a thread: through a wrapper, an executor, or a decorator of its
    own.
    """
    node = facts.scope.node
    wrappers = node.decorator_list if isinstance(node, Def) else []
    for (origin, _), wrapper in zip(decorators(facts.scope, origins), wrappers, strict=True):
        if among(origin, "moves", "to_thread"):
            yield Moved(node, facts.scope.dotted, in_request=in_request_thread(origin, wrapper))
    for call in facts.calls:
        if among(call.origin, "moves", "to_thread") and call.arguments:
            wrapped = next(
                (other.node for other in facts.calls if other.node.func is call.node), None
            )
            made = wrapped or _without(call.node, 1)
            yield Moved(
                call.node, call.arguments[0], made, in_request_thread(call.origin, call.node)
            )
        elif (
            call.origin.endswith(".run_in_executor")
            and len(call.arguments) > 1
            and not among(call.arguments[0], "objects", "process_pools")
        ):
            yield Moved(call.node, call.arguments[1], _without(call.node, 2))


def _without(call: ast.Call, arguments: int) -> ast.Call:
    """The call that is made of the rest: `to_thread(f, 1)` calls `f(1)`."""
    return ast.Call(call.args[arguments - 1], call.args[arguments:], call.keywords)
