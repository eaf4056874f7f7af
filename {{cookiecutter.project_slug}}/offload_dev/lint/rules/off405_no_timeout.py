"""OFF405: a call may wait for ever."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks import streams
from offload_dev.lint.checks.programs import waits_with_full_pipe, waits_without_limit
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.libraries import Library
from offload_dev.lint.source.arguments import is_falsy
from offload_dev.lint.source.names import TASK_RESULTS
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import Module
from offload_dev.lint.tasks.canvas import is_ready_loop
from offload_dev.lint.tasks.ended_results import known_by_condition

HTTP_LIBRARIES = ("httpx", "aiohttp.", "requests.")
DEADLINES = Patterns(
    "asyncio.{timeout,timeout_at}", "async_timeout.timeout", "anyio.{fail_after,move_on_after}"
)
WAIT_FOR = Patterns("asyncio.wait_for", "anyio.*", "django.test.*")
TIMEOUTS = Patterns("{httpx,httpx2}.Timeout", "aiohttp.ClientTimeout")
SESSIONS = Patterns("requests.{Session,session,sessions.Session}.*")
SESSION = Patterns("requests.{Session,sessions.Session}")
# It holds for all sockets that are made after it, also those of imaplib and the like.
DEFAULT_TIMEOUT = re.compile(r"\bsetdefaulttimeout\((?!None)")
WORKER_RUNS = "right if a worker always runs"
ENDS = "right if the program ends by itself, whatever its input is"
FITS = "right if the program writes less than a pipe holds: 64 KiB on Linux"
READ_ADVICE = "`communicate(timeout=…)` or `subprocess.run(…, timeout=…)`, which read the pipe"
ANSWERED = "right if the other side always answers, or closes the connection"


@rule(
    "OFF405",
    message="waits without a limit",
    instead="a timeout, and a deadline around the whole call",
    target=Target.FUNCTION,
)
def no_timeout(function: Function) -> Iterator[Violation]:
    """Finds calls and clients of other services without a timeout. Six cases:

    1. HTTP calls and clients with `timeout=None`.
    2. Calls whose library has no limit of its own, such as `requests.get(url)`, and locks that do
       not expire; a warning. A script ends with whoever has started it.
    3. `.get()` of a task's result, and a loop until it is `ready()`.
    4. Programs that a file or a server of others can keep for ever, such as `ffmpeg`.
    5. Reads of asyncio's streams.
    6. A program that is waited for before anything reads its pipe: with a full pipe both wait.

    One upstream that does not answer then keeps its request, its connection and its caller.
    """
    is_script = _is_script(function.scope.module)
    is_limited_task = function.resolver.facts.limits_tasks
    for call in function.calls:
        if call.origin.startswith(HTTP_LIBRARIES) and _has_no_timeout(call.node, function):
            likely = "right for a stream that never ends" if call.method == "stream" else ""
            subject = f"{snippet(call.node.func)}() with timeout=None"
            yield violation(call.node, subject, likely=likely)
        elif library := function.resolver.library("unlimited", call.origin):
            if not _is_limited(call, library, function) and not is_script:
                found = call_violation(call.node, likely=_likely(library))
                # What ends by itself after minutes matters only where a request waits for it.
                ends = library.without_limit.startswith("up to") or is_limited_task
                yield found._replace(near=ends)
        elif call.method == "get" and TASK_RESULTS.matches(call.holder):
            is_limited = bool(call.node.args or call.node.keywords)
            is_limited |= call.node.func in set(known_by_condition(function))
            if not (is_limited or is_script or function.is_task or function.scope.on_loop):
                yield call_violation(call.node, likely=WORKER_RUNS)
    if not (is_script or function.is_task or function.scope.on_loop):
        yield from _waits_for_task(function)
    for call in () if is_script else streams.reads(function):
        if not _has_deadline(call.node, function):
            yield call_violation(call.node, likely=ANSWERED)
            # The others of the same function wait for the same side.
            break
    if not is_script:
        yield from _waits_for_program(function)


def _waits_for_program(function: Function) -> Iterator[Violation]:
    """The waits for other programs: before anything reads their pipe, and without a limit."""
    piped = list(waits_with_full_pipe(function))
    for node in piped:
        if not _has_deadline(node, function):
            subject = f"`{snippet(node)}`, before anything reads its pipe,"
            yield violation(node, subject, likely=FITS, instead=READ_ADVICE)
    is_limited_task = function.resolver.facts.limits_tasks
    for call in waits_without_limit(function):
        if call.node not in piped and not _has_deadline(call.node, function):
            yield call_violation(call.node, likely=ENDS)._replace(near=is_limited_task)


def _is_script(module: Module) -> bool:
    """Whether somebody starts a file, as one outside of all packages that prints when it is run."""
    return module.is_script or (module.prints and not module.path.with_name("__init__.py").exists())


def _is_limited(call: CallSite, library: Library, function: Function) -> bool:
    """Whether something else ends a call of a library that has no limit of its own."""
    if function.scope.module.matches(DEFAULT_TIMEOUT):
        return True
    if SESSIONS.matches(call.origin) and function.resolver.facts.limits_sessions:
        return True
    if _is_of_limited_session(call, function):
        return True
    return (
        _is_given(library, call.node)
        or _has_deadline(call.node, function)
        or (call.method == "lock" and _never_waits(function))
        or _has_limited_calls(call, function)
    )


def _is_of_limited_session(call: CallSite, function: Function) -> bool:
    """Whether a class of this project gives each call of its sessions a timeout."""
    classes = function.resolver.classes
    methods = (classes.method(call.holder, name) for name in ("request", "send"))
    if not classes.is_a(call.holder, SESSION):
        return False
    return any(each is not None and "timeout" in each.text_of_lines for each in methods)


def _waits_for_task(function: Function) -> Iterator[Violation]:
    """`while not result.ready(): time.sleep(1)`, without another end."""
    if function.scope.module.has(".ready()"):
        for node in own_nodes(function.scope.node):
            if is_ready_loop(node, function):
                yield violation(node, f"`while {snippet(node.test)}`", likely=WORKER_RUNS)


def _likely(library: Library) -> str:
    limit = library.limit.partition(":")[0].partition("|")[0]
    if library.without_limit:
        return f"waits {library.without_limit} without `{limit}`"
    return ANSWERED


def _is_given(library: Library, call: ast.Call) -> bool:
    """Whether a call gives an argument that limits it, or may give it by `**options`."""
    named, _, place = library.limit.partition(":")
    is_at_place = bool(place) and len(call.args) >= int(place)
    limits = {*named.split("|"), None}
    return is_at_place or any(each.arg in limits for each in call.keywords)


def _has_limited_calls(client: CallSite, function: Function) -> bool:
    """Whether each call of a client, in the function that creates it, has a timeout.

    That of `connect` is for all calls behind it.
    """
    calls = [each for each in function.calls if each.origin.startswith(f"{client.origin}.")]
    limited = [
        each.method for each in calls if any(given.arg == "timeout" for given in each.node.keywords)
    ]
    return bool(limited) and (len(limited) == len(calls) or "connect" in limited)


def _has_deadline(call: ast.expr, function: Function) -> bool:
    """Whether a deadline stands around a call: `async with asyncio.timeout(5)`, or `wait_for`."""
    around = [block.node for block in function.blocks if DEADLINES.matches(block.origin)]
    waits = (each.node for each in function.calls if WAIT_FOR.matches(each.origin))
    return any(call in all_nodes(each) for each in (*around, *waits))


def _never_waits(function: Function) -> bool:
    """Whether a function goes on without its lock: `lock.acquire(blocking=False)`."""
    calls = (call.node for call in function.calls if call.method == "acquire")
    return any(
        keyword.arg == "blocking" and is_falsy(keyword.value)
        for call in calls
        for keyword in call.keywords
    )


def _has_no_timeout(call: ast.Call, function: Function) -> bool:
    """Whether a call gives `timeout=None`, or `httpx.Timeout(None)`."""
    for keyword in call.keywords:
        given = [keyword.value] if keyword.arg == "timeout" else []
        match given:
            case [ast.Call(func=made, args=[only], keywords=[])] | [
                ast.Call(func=made, args=[], keywords=[ast.keyword(arg="total", value=only)])
            ] if TIMEOUTS.matches(function.origin_of(made)):
                given = [only]
        if given and isinstance(given[0], ast.Constant) and given[0].value is None:
            return True
    return False
