"""Values that are read, changed and written, while another run does the same."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns

CACHE = Patterns(
    "django.core.cache.{cache,caches}*.{get,aget,set,aset}",
    "{redis,valkey}.{,asyncio.}{Redis,StrictRedis,from_url,Redis.from_url}.{get,set,setex}",
    "django_redis.get_redis_connection.{get,set,setex}",
)
SAVES = {"save", "asave"}
# The methods that write to a cache, and which of their arguments is the value.
SETS = {"set": 1, "aset": 1, "setex": 2}
WRITES = SAVES | SETS.keys()
# Counts of a run's own attempts, and texts that grow.
OWN = re.compile(r"(^|_)(attempts?|retr(y|ies)|tries|logs?|notes?|text|message)(_|$)")
# What lets one run in at a time: a lock of rows, of a cache, of the database.
ONE_AT_A_TIME = re.compile(r"select_for_update|(\b|_)lock|Lock|semaphore|mutex")


def changed_rows(function: Function) -> Iterator[tuple[ast.stmt, str]]:
    """The statements that compute a field of a row from its old value, and the name of the row.

    The row was fetched before, and is saved afterwards. `F("total") + 1` is computed by the
    database. A row that the function has created is known to nobody else, and one that counts the
    turns of the function's own loop, or its attempts, belongs to this run as a rule. Nobody comes
    between the lines of a coroutine that awaits nothing.
    """
    saved = {(name, call.node.lineno) for name, call in _saves(function)}
    nodes = own_nodes(function.scope.node) if saved else []
    loops = [each for each in nodes if isinstance(each, ast.For | ast.AsyncFor | ast.While)]
    for node in nodes:
        match node:
            case ast.AugAssign(
                target=ast.Attribute(value=row) as field, op=ast.Add() | ast.Sub(), value=value
            ):
                pass
            case ast.Assign(
                targets=[ast.Attribute(value=row) as field],
                value=ast.BinOp(op=ast.Add() | ast.Sub()) as value,
            ) if any(ast.unparse(each) == ast.unparse(field) for each in all_nodes(value)):
                pass
            case _:
                continue
        name = ast.unparse(row)
        fetched = _fetched_at(name, function)
        ends = [line for each, line in saved if each == name and node.lineno <= line]
        is_own = OWN.search(field.attr) is not None or any(
            fetched < loop.lineno <= node.lineno <= (loop.end_lineno or 0) for loop in loops
        )
        is_alone = function.scope.on_loop and not _awaits(nodes, fetched + 1, max(ends, default=0))
        if fetched and ends and not (is_own or is_alone or _is_text(value)):
            yield node, name


def old_rows(
    function: Function, lines: Collection[int], updated: Collection[str]
) -> Iterator[CallSite]:
    """The calls that save all fields of a row that was fetched before long work.

    Args:
        lines: where the function waits or computes for long.
        updated: the models whose rows other functions update.
    """
    for name, call in _saves(function):
        if call.node.args or call.node.keywords:
            continue
        fetched = _fetched_at(name, function)
        is_long = any(fetched < line < call.node.lineno for line in lines)
        if fetched and is_long and call.holder in updated:
            yield call


def _saves(function: Function) -> list[tuple[str, CallSite]]:
    """The calls that save a row, with the row's name."""
    return [
        (ast.unparse(call.node.func.value), call)
        for call in function.calls
        if isinstance(call.node.func, ast.Attribute) and call.node.func.attr in SAVES
        if function.resolver.models.is_model(call.holder)
    ]


def _fetched_at(row: str, function: Function) -> int:
    """The last line where a query fetches a row into a variable; 0 if none does, or it is new."""
    lines = [0]
    for node in own_nodes(function.scope.node):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == row:
                if ".objects" not in ast.unparse(value) or "create(" in ast.unparse(value):
                    return 0
                lines.append(node.end_lineno or 0)
            case ast.For(target=ast.Name(id=name)) if name == row:
                lines.append(node.lineno)
    return max(lines)


def _is_text(value: ast.expr) -> bool:
    """Whether a text or a list is appended, or the database computes: `F("total") + 1`."""
    return any(
        (isinstance(each, ast.Constant) and isinstance(each.value, str))
        or isinstance(each, ast.JoinedStr | ast.List)
        for each in all_nodes(value)
    )


def counters(function: Function) -> Iterator[tuple[CallSite, str]]:
    """The calls that write a value of a cache which the function has read and changed."""
    for write, key, value in _writes(function):
        names = _names_of(key, function)
        if names and _is_changed(value, names, function):
            yield write, key


def claims(function: Function) -> Iterator[tuple[CallSite, str]]:
    """The calls that write a sign into a cache, if the function goes on only where there is none.

    `if cache.get(key): return`, and then `cache.set(key, True)`: two runs may both find none.
    """
    for write, key, value in _writes(function):
        if not isinstance(value, ast.Constant):
            continue
        for node in own_nodes(function.scope.node):
            if isinstance(node, ast.If) and node.lineno < write.node.lineno:
                is_read = any(_reads(each, key, function) for each in all_nodes(node.test))
                if is_read and _ends(node):
                    yield write, key
                    break


def gives_way(write: CallSite, key: str, function: Function) -> bool:
    """Whether a coroutine awaits something between the read of a key and a write.

    What it awaits before it returns comes to no write.
    """
    nodes = own_nodes(function.scope.node)
    calls = (each for each in nodes if isinstance(each, ast.Call))
    first = min((each.lineno for each in calls if _reads(each, key, function)), default=0)
    last = write.node.end_lineno or 0
    ends = (each for each in nodes if isinstance(each, ast.If) and _ends(each))
    blocks = ({node for line in each.body for node in all_nodes(line)} for each in ends)
    left = {node for block in blocks if write.node not in block for node in block}
    return _awaits((each for each in nodes if each not in left), first, last)


def _awaits(nodes: Iterable[ast.AST], first: int, last: int) -> bool:
    """Whether one of the lines from `first` to `last` awaits something."""
    return any(
        isinstance(each, ast.Await | ast.AsyncFor | ast.AsyncWith)
        or any(loop.is_async for loop in getattr(each, "generators", ()))
        for each in nodes
        if first <= getattr(each, "lineno", 0) <= last
    )


def _ends(node: ast.If) -> bool:
    return isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue)


def _writes(function: Function) -> Iterator[tuple[CallSite, str, ast.expr]]:
    """The writes to a cache, each with the source of its key, and its value.

    The second argument of `setex` is the time to live.
    """
    for call in function.calls:
        place = SETS.get(call.method, 0)
        if place and CACHE.matches(call.origin) and len(call.node.args) > place:
            yield call, ast.unparse(call.node.args[0]), call.node.args[place]


def _reads(node: ast.AST, key: str, function: Function) -> bool:
    """Whether this is the call that reads a key."""
    call = function.calls_by_node.get(node) if isinstance(node, ast.Call) else None
    return (
        call is not None
        and call.method in ("get", "aget")
        and CACHE.matches(call.origin)
        and bool(call.node.args)
        and ast.unparse(call.node.args[0]) == key
    )


def _names_of(key: str, function: Function) -> set[str]:
    """The variables that hold the value of a key."""
    return {
        node.targets[0].id
        for node in own_nodes(function.scope.node)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if any(_reads(each, key, function) for each in all_nodes(node.value))
    }


def _is_changed(value: ast.expr, names: set[str], function: Function) -> bool:
    """Whether a value is a sum with one of these variables, here or in a line above."""
    if _is_sum(value, names):
        return True
    if not isinstance(value, ast.Name):
        return False
    for node in own_nodes(function.scope.node):
        match node:
            case ast.AugAssign(target=ast.Name(id=name)) if name == value.id and name in names:
                return True
            case ast.Assign(targets=[ast.Name(id=name)], value=given) if name == value.id:
                if _is_sum(given, names) or (name in names and _has_sum(given)):
                    return True
    return False


def _is_sum(value: ast.expr, names: set[str]) -> bool:
    return _has_sum(value) and any(getattr(e, "id", "") in names for e in all_nodes(value))


def _has_sum(value: ast.expr) -> bool:
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub)
