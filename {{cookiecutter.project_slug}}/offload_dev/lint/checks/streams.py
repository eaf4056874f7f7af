"""Reads of asyncio's streams, which wait for as long as the other side says nothing."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.nodes import Def, own_nodes

OPENS = re.compile(r"\basyncio\.open(_unix)?_connection\(|(?<!\.)\bopen(_unix)?_connection\(")
READS = {"read", "readline", "readexactly", "readuntil"}


def reads(function: Function) -> Iterator[CallSite]:
    """The awaited reads of a connection that a function opens, or that a server hands to it."""
    if not function.scope.on_loop:
        return
    readers = {*_opened(function), *_handed(function)}
    for call in function.calls if readers else ():
        match call.node.func:
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in readers:
                if call.awaited and attr in READS and not _is_limited_by_caller(function):
                    yield call


def _opened(function: Function) -> Iterator[str]:
    """`reader` of `reader, writer = await asyncio.open_connection(host, port)`."""
    if not function.scope.module.has("open_connection"):
        return
    for node in own_nodes(function.scope.node):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id=name), _])], value=value):
                if OPENS.search(ast.unparse(value)):
                    yield name


def _handed(function: Function) -> Iterator[str]:
    """The reader of a function that some file gives to `asyncio.start_server`."""
    node = function.scope.node
    names = [each.arg for each in node.args.args] if isinstance(node, Def) else []
    names = names[1:] if names[:1] == ["self"] else names
    if len(names) != 2 or "read" not in names[0]:
        return
    name = function.scope.bare_name
    starts = re.compile(rf"\bstart(_unix)?_server\(\s*(\w+\.)*{name}\b")
    if any(starts.search(each.text) for each in function.resolver.project.files):
        yield names[0]


def _is_limited_by_caller(function: Function) -> bool:
    """Whether the file waits for the whole function no longer than a limit."""
    name = function.scope.bare_name
    limited = rf"\bwait_for\(\s*(\w+\.)*{name}\(|\btimeout(_at)?\([^\n]*\n\s+.*\b{name}\("
    return re.search(limited, function.scope.module.text) is not None
