"""What a function does that is wrong inside of a transaction."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import TASKS_IN_DATABASE
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.tree import CodeScope
from offload_dev.lint.tasks.canvas import messages
from offload_dev.lint.tasks.other_queues import published

# They are right: the message leaves after the commit.
AFTER_COMMIT = {"delay_on_commit", "apply_async_on_commit"}
OTHER_ROWS = "right if the task reads nothing that this transaction has written"
RETRIES = "right if the task tries again until the row is there"
NAME = re.compile(r"\w+")
NAME_OF_ROW = re.compile(r"(\w*_)?(id|ids|pk|pks|uuid)")
LOCKS = {"select_for_update"}
WRITES = {
    "save",
    "delete",
    "create",
    "update",
    "get_or_create",
    "update_or_create",
    "bulk_create",
    "bulk_update",
    "add",
    "set",
    "remove",
    "execute",
}


def publications(function: Function) -> Iterator[Violation]:
    """The tasks that a function publishes. Those that are rows wait for the commit, too."""
    for call in function.calls:
        sent = messages(call, function) if call.method not in AFTER_COMMIT else []
        if any(_is_published(each.task, function.resolver) for each in sent):
            names = any(names_row(each.call, function) for each in sent)
            likely = "" if names else OTHER_ROWS
            likely = RETRIES if all(_retries_for_row(each.task) for each in sent) else likely
            yield call_violation(call.node, likely=likely)
    for call in published(function):
        yield call_violation(call.node, likely="" if names_row(call.node, function) else OTHER_ROWS)


def _is_published(task: CodeScope, resolver: Resolver) -> bool:
    """Whether the message of a task is not a row itself."""
    decorators = resolver.decorators.of(task)
    return not any(TASKS_IN_DATABASE.matches(origin) for origin, _ in decorators)


def _retries_for_row(task: CodeScope) -> bool:
    """Whether a task calls `retry` where it does not find its row."""
    return any(
        isinstance(each, ast.ExceptHandler)
        and each.type is not None
        and "DoesNotExist" in ast.unparse(each.type)
        and ".retry(" in ast.unparse(each)
        for each in own_nodes(task.node)
    )


def names_row(call: ast.Call, function: Function) -> bool:
    """Whether a task gets a row, or what names one. A text that it gets is no row."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    names = (name for each in given for name in NAME.findall(ast.unparse(each)))
    is_named = any(map(NAME_OF_ROW.fullmatch, names))
    origins = (function.given.get(each, "") for each in call.args)
    return is_named or any(map(function.resolver.models.is_model, origins))


def service_calls(function: Function) -> Iterator[Violation]:
    """The calls of other services over HTTP."""
    libraries = function.resolver.libraries
    for call in function.calls_not_awaited:
        library = libraries.find("blocks", call.origin)
        if library and library.http and not libraries.find("blocks", call.holder):
            yield call_violation(call.node)


def writes_before(call: CallSite, function: Function, names: set[str] = WRITES) -> bool:
    """Whether a line of the same transaction, not below a call, writes a row."""
    last = call.node.end_lineno or 0
    return any(
        each.atomic == call.atomic
        and getattr(each.node.func, "attr", "") in names
        and each.node.lineno <= last
        for each in function.calls
    )
