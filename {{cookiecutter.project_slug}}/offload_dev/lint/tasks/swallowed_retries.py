"""Retries of a task that its own handler of errors catches."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.handlers import caught_names
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope, Module

# `Retry` is an `Exception` (celery.exceptions). The message has left when it is raised.
RETRY = "Retry"
WIDE = {"Exception", "BaseException", "CeleryError", "TaskPredicate"}
ADVICE = "`except Retry: raise` before the wide `except`"
HARMLESS = "right if what follows is right beside the next try, which is published already"
# With `throw=False` Celery raises nothing.
QUIET = "throw"


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The calls of `self.retry(…)` whose `Retry` a wide `except` of the same task catches.

    The task then goes on as after an error, or as if all was well, and runs a second time.
    """
    if ".retry(" not in module.text:
        return
    for task in filter(resolver.decorators.is_task, resolver.project.functions):
        if task.module is module:
            for call in _retries(task):
                if _is_caught(call, task):
                    subject = f"`{snippet(call.func)}()`, whose `Retry` an `except` catches,"
                    yield violation(call, subject, likely=HARMLESS, instead=ADVICE)


def _retries(task: CodeScope) -> Iterator[ast.Call]:
    """The retries of the task itself: `self.retry(…)`, `send.retry(…)`."""
    names = {"self", "current_task", task.label}
    for node in own_nodes(task.node):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="retry"), keywords=given
            ) if name in names and not any(each.arg == QUIET for each in given):
                yield node


def _is_caught(call: ast.Call, task: CodeScope) -> bool:
    """Whether the first handler that catches the `Retry` neither raises nor tries again."""
    blocks = [n for n in own_nodes(task.node) if isinstance(n, ast.Try) and _has(n.body, call)]
    # The inner ones first.
    for block in sorted(blocks, key=lambda each: each.lineno, reverse=True):
        for handler in block.handlers:
            names = caught_names(handler)
            if names & WIDE and RETRY not in names and not _goes_on(handler):
                return True
            if names & {*WIDE, RETRY}:
                # It raises again, for the blocks around this one; or it means the retry.
                if _goes_on(handler):
                    break
                return False
    return False


def _has(body: list[ast.stmt], call: ast.Call) -> bool:
    return any(node is call for statement in body for node in all_nodes(statement))


def _goes_on(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "retry")
        for node in all_nodes(handler)
    )
