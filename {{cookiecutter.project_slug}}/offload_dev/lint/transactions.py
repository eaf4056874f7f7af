"""What a function does that is wrong inside of a transaction."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.names import PUBLISH, TASKS_IN_DATABASE
from offload_dev.lint.other_queues import published
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import CodeScope, own_nodes
from offload_dev.lint.violations import Violation, call_violation

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
    resolver = function.resolver
    for call in function.calls:
        if call.method in PUBLISH - AFTER_COMMIT:
            of_table = resolver.functions_of_table(call.holder)
            tasks = [each for each in (resolver.function(call.holder), *of_table) if each]
            if any(_is_published(task, resolver) for task in tasks):
                likely = "" if names_row(call, function) else OTHER_ROWS
                likely = RETRIES if all(map(_retries_for_row, tasks)) else likely
                yield call_violation(call.node, likely=likely)
    for call in published(function):
        yield call_violation(call.node, likely="" if names_row(call, function) else OTHER_ROWS)


def _is_published(task: CodeScope, resolver: Resolver) -> bool:
    """Whether a function is a task whose message is not a row itself."""
    if not resolver.decorators.is_task(task):
        return False
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


def names_row(call: CallSite, function: Function) -> bool:
    """Whether a task gets a row, or what names one. A text that it gets is no row."""
    given = [*call.node.args, *(keyword.value for keyword in call.node.keywords)]
    names = (name for each in given for name in NAME.findall(ast.unparse(each)))
    is_named = any(map(NAME_OF_ROW.fullmatch, names))
    return is_named or any(function.resolver.models.is_model(each) for each in call.arguments)


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
