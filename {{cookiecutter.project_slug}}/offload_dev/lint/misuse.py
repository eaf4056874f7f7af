"""What is wrong wherever it runs: lost coroutines and tasks, swallowed cancellations, false
decorators.
"""

import ast
from collections.abc import Iterator

from offload_dev.lint.facts import Call, Facts, awaits
from offload_dev.lint.names import PUBLISH, among
from offload_dev.lint.origins import Origins
from offload_dev.lint.queues import queued
from offload_dev.lint.sites import Site, decorators, is_async_query, is_task, words, yields
from offload_dev.lint.source import Def, Scope


def in_place(facts: Facts, origins: Origins) -> Iterator[Site]:
    """What is wrong in any function."""
    task = is_task(facts.scope, origins)
    if task and facts.scope.on_loop:
        yield Site("OFF304", facts.scope.node, f"{facts.scope.label}()")
    for call in facts.calls:
        subject = f"{words(call.node.func)}()"
        head, _, method = call.origin.rpartition(".")
        if call.dropped and not call.awaited and _makes_coroutine(call, origins):
            yield Site("OFF504", call.node, subject)
        elif call.dropped and among(call.origin, "moves", "spawn"):
            yield Site("OFF501", call.node, subject)
        elif (
            method in ("append", "add")
            and _is_global(call, facts)
            and any(_spawns(part, facts) for part in call.node.args)
        ):
            yield Site("OFF502", call.node, subject)
        elif task and method == "get" and head.rpartition(".")[2] in (*PUBLISH, "AsyncResult"):
            yield Site("OFF305", call.node, subject)
        elif call.atomic and method in PUBLISH and is_task(origins.function(head), origins):
            yield Site("OFF306", call.node, subject)
        if call.origin.startswith(("httpx", "aiohttp.", "requests.")) and any(
            keyword.arg == "timeout"
            and isinstance(keyword.value, ast.Constant)
            and keyword.value.value is None
            for keyword in call.node.keywords
        ):
            yield Site("OFF405", call.node, f"{subject} with timeout=None")
    if facts.scope.on_loop:
        yield from _on_loop_only(facts, origins)


def _on_loop_only(facts: Facts, origins: Origins) -> Iterator[Site]:
    in_turn = set(queued(facts, origins))
    for call in facts.calls:
        subject = f"{words(call.node.func)}()"
        if call.node in in_turn:
            yield Site("OFF402", call.node, subject)
        elif call.origin == "asyncio.gather":
            if not _returns_errors(call.node) or any(
                isinstance(part, ast.Starred) for part in call.node.args
            ):
                yield Site("OFF401", call.node, subject)
        elif among(call.origin, "objects", "process_pools"):
            yield Site("OFF204", call.node, subject)
        elif among(call.origin, "objects", "thread_pools"):
            yield Site("OFF204", call.node, subject, doubtful=True)
        elif call.origin == "django.http.StreamingHttpResponse" and _sync_iterator(
            call.node.args, facts, origins
        ):
            yield Site("OFF108", call.node, subject)
    for block in facts.handlers:
        if awaits(block.body):
            yield from _swallowing(block, facts)
    for origin, node in decorators(facts.scope, origins):
        if among(origin, "moves", "sync_decorators"):
            yield Site("OFF107", facts.scope.node, f"@{words(node)}")
        elif _makes_sync(origins.function(origin)) and not yields(facts.scope):
            yield Site("OFF107", facts.scope.node, f"@{words(node)}", doubtful=True)


def _returns_errors(call: ast.Call) -> bool:
    return any(keyword.arg == "return_exceptions" for keyword in call.keywords)


def _makes_coroutine(call: Call, origins: Origins) -> bool:
    if is_async_query(call, origins):
        return True
    function = origins.function(call.origin)
    return function is not None and function.on_loop and not decorators(function, origins)


def _is_global(call: Call, facts: Facts) -> bool:
    holder = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    return isinstance(holder, ast.Name) and holder.id in facts.scope.module.names


def _spawns(node: ast.expr, facts: Facts) -> bool:
    return node in facts.by_node and among(facts.by_node[node].origin, "moves", "spawn")


def _sync_iterator(arguments: list[ast.expr], facts: Facts, origins: Origins) -> bool:
    match arguments:
        case [ast.GeneratorExp(generators=[first, *_]), *_]:
            return not first.is_async
        case [ast.Call() as call, *_]:
            made_by = origins.function(facts.by_node[call].origin)
            return made_by is not None and not made_by.on_loop and yields(made_by)
    return False


def _swallowing(block: ast.Try, facts: Facts) -> Iterator[Site]:
    cancels = any(
        isinstance(call.node.func, ast.Attribute) and call.node.func.attr == "cancel"
        for call in facts.calls
    )
    for handler in block.handlers:
        caught = _caught(handler)
        raises = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
        if "CancelledError" in caught and (raises or cancels):
            # What comes after no longer sees it; one's own cancelled task is awaited so.
            return
        if {"BaseException", "CancelledError"} & caught and not raises:
            yield Site(
                "OFF503",
                handler,
                f"except {words(handler.type) if handler.type else ''}".strip() + ":",
            )


def _caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    nodes = list(ast.walk(handler.type))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _makes_sync(decorator: Scope | None) -> bool:
    """Whether the innermost wrapper that a decorator of this project returns is a plain function."""
    if decorator is None or not isinstance(decorator.node, ast.FunctionDef):
        return False
    inner = [
        node
        for node in ast.walk(decorator.node)
        if isinstance(node, Def) and node is not decorator.node
    ]
    text = ast.unparse(decorator.node)
    aware = any(
        word in text for word in ("iscoroutinefunction", "markcoroutinefunction", "isawaitable")
    )
    return (
        bool(inner)
        and not aware
        and not any(isinstance(node, ast.AsyncFunctionDef) for node in inner)
    )


def at_module_level(facts: Facts) -> Iterator[Site]:
    """What is wrong at the top of a module."""
    for call in facts.calls:
        if among(call.origin, "objects", "async_clients"):
            yield Site("OFF404", call.node, f"{words(call.node.func)}()")
