"""Other programs that a function starts, and waits for without a limit."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.functions.function import CallSite, Function, WithBlock
from offload_dev.lint.source.names import LIMITING_OPTIONS, NETWORK_COMMANDS, PREFIXES, PROGRAMS
from offload_dev.lint.source.nodes import all_nodes, assigned, own_nodes
from offload_dev.lint.source.patterns import Patterns

RUN = Patterns("subprocess.{run,call,check_call,check_output}")
ASYNC = Patterns("asyncio.{create_subprocess_exec,create_subprocess_shell}")
THIS_HOST = re.compile(r"\b(localhost|127\.0\.0\.1)\b")
WAITS = {"communicate", "wait"}
ENDS = {"kill", "terminate", "send_signal"}
# They neither read a pipe nor hand it to somebody who does.
QUIET = {"args", "pid", "poll", "returncode", "stdin", "wait"}
PIPE = Patterns("{,asyncio.}subprocess.PIPE")
# `process.wait(5)` and `communicate(data, 5)`.
PLACE = {"communicate": 2, "wait": 1}


def waits_without_limit(function: Function) -> Iterator[CallSite]:
    """The calls that wait for a program which may run for ever: two cases.

    1. `subprocess.run(["git", "clone", url])` without a `timeout`.
    2. `process.communicate()` of `subprocess.Popen`, or of a process of asyncio.
    """
    if not function.scope.module.has("subprocess"):
        return
    for call in function.calls:
        if RUN.matches(call.origin):
            if not _is_limited(call.node, "") and may_hang(_words(call.node, function)):
                yield call
        elif call.method in WAITS and not _is_limited(call.node, call.method):
            started = None if _is_killed(call, function) else _started(call, function)
            if started is not None and may_hang(_words(started, function)):
                yield call


def waits_with_full_pipe(function: Function) -> Iterator[ast.expr]:
    """The lines that wait for a program before anything reads what it writes. Two cases:

    1. `process.wait()`, without a timeout.
    2. `while process.poll() is None: time.sleep(1)`.

    A program that has filled its pipe waits, too, so both wait for ever.
    """
    if not function.scope.module.has("subprocess"):
        return
    for call in function.calls:
        is_wait = call.method == "wait" and not _is_limited(call.node, call.method)
        if is_wait and not _is_killed(call, function) and _is_unread(call, function):
            yield call.node
    for node in own_nodes(function.scope.node):
        match node:
            case ast.While(
                test=ast.Compare(left=ast.Call() as asked, ops=[ast.Is() | ast.Eq()])
                | ast.UnaryOp(op=ast.Not(), operand=ast.Call() as asked)
            ):
                poll = function.calls_by_node.get(asked)
                if poll is None or poll.method != "poll" or _may_end(node):
                    continue
                if _is_unread(poll, function, node.end_lineno):
                    yield node.test


def _may_end(loop: ast.While) -> bool:
    """Whether a line of a loop may leave it."""
    ends = (ast.Break, ast.Return, ast.Raise)
    return any(isinstance(each, ends) for line in loop.body for each in all_nodes(line))


def _is_unread(wait: CallSite, function: Function, last: int | None = None) -> bool:
    """Whether a program writes into a pipe, and no line up to here may read it.

    Args:
        last: the last line that counts; the one of the call if there is none.
    """
    started = _started(wait, function)
    piped = [
        keyword.value
        for keyword in (started.keywords if started is not None else ())
        if keyword.arg in ("stdout", "stderr")
    ]
    if not any(_is_pipe(each, function) for each in piped):
        return False
    held = wait.node.func.value if isinstance(wait.node.func, ast.Attribute) else None
    name, last = getattr(held, "id", ""), last or wait.node.lineno
    quiet = {
        node.value
        for node in all_nodes(function.scope.node)
        if isinstance(node, ast.Attribute) and node.attr in QUIET
    }
    return not any(
        isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Load)
        and node not in quiet
        and node.lineno <= last
        for node in all_nodes(function.scope.node)
    )


def _is_pipe(given: ast.expr, function: Function) -> bool:
    """Whether this is `subprocess.PIPE`, by its name or as the number that it is."""
    return ast.unparse(given) == "-1" or PIPE.matches(function.origin_of(given))


def may_hang(words: list[str]) -> bool:
    """Whether a command works on files of others or asks the network, and names no limit."""
    while words and (words[0] in PREFIXES or "=" in words[0]):
        words = words[1:]
    is_limited = any(each.partition("=")[0] in LIMITING_OPTIONS for each in words)
    if not words or is_limited or any(THIS_HOST.search(each) for each in words):
        return False
    program = words[0].rpartition("/")[2]
    if program in NETWORK_COMMANDS:
        return not set(NETWORK_COMMANDS[program]).isdisjoint(words[1:])
    return program in PROGRAMS


def _is_limited(call: ast.Call, method: str) -> bool:
    is_at_place = method in PLACE and len(call.args) >= PLACE[method]
    return is_at_place or any(each.arg in ("timeout", None) for each in call.keywords)


def _is_killed(wait: CallSite, function: Function) -> bool:
    """Whether a line above has ended the process."""
    return any(
        call.method in ENDS and call.node.lineno < wait.node.lineno for call in function.calls
    )


def _started(call: CallSite, function: Function) -> ast.Call | None:
    """The call that started the process whose method is called."""
    func = call.node.func
    value = assigned(func.value, function.scope.node) if isinstance(func, ast.Attribute) else None
    if isinstance(value, ast.Name):
        entered = (block for block in function.blocks if _enters(block, value.id))
        value = next((block.manager for block in entered), None)
    value = value.value if isinstance(value, ast.Await) else value
    made = function.calls_by_node.get(value) if isinstance(value, ast.Call) else None
    if made is None or not (made.origin == "subprocess.Popen" or ASYNC.matches(made.origin)):
        return None
    return made.node


def _enters(block: WithBlock, name: str) -> bool:
    """Whether `name` stands for the manager of a block: `with Popen(command) as name`."""
    return any(
        item.context_expr is block.manager and getattr(item.optional_vars, "id", "") == name
        for item in block.node.items
    )


def _words(call: ast.Call, function: Function) -> list[str]:
    """The words of a command, as far as they are written; the first has to be."""
    given: list[ast.expr] = call.args[:1]
    if ASYNC.matches(function.calls_by_node[call].origin):
        given = call.args
    value = _value(given[0], function) if given else None
    if isinstance(value, ast.List | ast.Tuple):
        given = value.elts
    elif isinstance(value, ast.BinOp) and isinstance(value.left, ast.List):
        given = value.left.elts
    elif value is not None and len(given) == 1:
        # One text for a shell.
        return _text(value).split()
    return [_text(each) for each in given] if given and _text(given[0]) else []


def _value(given: ast.expr, function: Function) -> ast.expr:
    """What a variable of the function, or of its module, holds."""
    value = assigned(given, function.scope.node)
    named = function.scope.module.names.get(value.id) if isinstance(value, ast.Name) else None
    return named if isinstance(named, ast.expr) else value


def _text(node: ast.expr) -> str:
    """A text, or how a text begins whose rest is not known."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
