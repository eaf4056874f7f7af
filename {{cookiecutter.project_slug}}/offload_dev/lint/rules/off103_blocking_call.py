"""OFF103: a call blocks the event loop."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.process_caches import is_default_in_process
from offload_dev.lint.checks.read_sessions import is_read_before
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.libraries import Library
from offload_dev.lint.source.arguments import is_falsy, is_set
from offload_dev.lint.source.names import REQUEST
from offload_dev.lint.source.nodes import Def, all_nodes, has_word, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet

SESSION = f"{REQUEST}.session"
# These methods of a session wait for its store whatever is in memory.
IN_STORE = {"flush", "save", "cycle_key", "create", "load", "exists", "delete"}
RESOLVES = Patterns("socket.{getaddrinfo,gethostbyname,gethostbyname_ex,gethostbyaddr}")
NAME_OF_ADDRESS = re.compile(r"(\w*_)?(ip|addr|address)", re.IGNORECASE)
RETRIES = Patterns("tenacity.retry", "backoff.on_*", "retry.{,api.}retry", "retrying.retry")
# Arguments that say how long they sleep.
PAUSES = {"wait", "delay", "wait_fixed", "wait_random_min", "wait_exponential_multiplier"}
IF_FAILS = "it sleeps only after an attempt that has failed"
AWAITED = "an async function below the decorator, which then awaits the pause"
NUMERIC = "short if it gets a numeric address, and no name"
NON_BLOCKING = re.compile(r"SOCK_NONBLOCK|\.setblocking\((?:False|0)\)|\.settimeout\(0(?:\.0)?\)")
OF_FIELDS = Patterns("django.db.models.{FileField,ImageField}.*")
UDP = "SOCK_DGRAM"
OF_FILES = Patterns("{builtins,io,pathlib.Path*}.open.{read,readline,write,writelines}")
SMALL = "short if the file is small and on a local disk"
NAMED_CACHE = re.compile(r"""caches\[["'](\w+)["']\]""")


@rule(
    "OFF103",
    message="blocks the event loop",
    instead="the async variant; an `Upstream` for another service; a thread for anything else",
    target=Target.THREAD,
)
def blocking_call(function: Function) -> Iterator[Violation]:
    """Finds calls that wait for a disk, a network or a timer, and reads of `request.session`.

    One thread runs the event loop, so every request of the process waits with the call. The names
    are in `libraries.toml`. So does a plain function that sleeps between two attempts.
    """
    for found in function.evaluated:
        if found.origin == SESSION and not is_read_before(found.node.lineno, function):
            yield violation(found.node, instead="`await request.session.aget(…)`")
    for call in function.calls_not_awaited:
        yield from _of_library(call, function)
    yield from _of_files(function)
    yield from _between_attempts(function)


def _between_attempts(function: Function) -> Iterator[Violation]:
    """`@tenacity.retry(wait=wait_fixed(2))` of a plain function, which sleeps after an error."""
    for (origin, _), node in zip(function.decorators, _decorators(function), strict=True):
        if RETRIES.matches(origin) and not function.scope.on_loop:
            given = {each.arg for each in node.keywords} if isinstance(node, ast.Call) else set()
            if origin.startswith("backoff.") or not given.isdisjoint(PAUSES):
                found = violation(node, likely=IF_FAILS, instead=AWAITED)
                yield found._replace(near=True)


def _decorators(function: Function) -> list[ast.expr]:
    node = function.scope.node
    return node.decorator_list if isinstance(node, Def) else []


def _of_files(function: Function) -> Iterator[Violation]:
    """The reads and writes of an open file in a loop: a file of any size, one piece after another.

    What `async for` receives comes from a network, wherever the function is called.
    """
    if not function.scope.on_loop or not function.scope.module.has("open("):
        return
    for loop in own_nodes(function.scope.node):
        if isinstance(loop, ast.For | ast.AsyncFor | ast.While):
            inside = {node for each in loop.body for node in all_nodes(each)}
            test = {*all_nodes(loop.test)} if isinstance(loop, ast.While) else set()
            for call in function.calls_to(OF_FILES):
                if call.node in inside or call.node in test:
                    advice = f"`await asyncio.to_thread({snippet(call.node.func)}, …)`"
                    found = call_violation(call.node, likely=SMALL, instead=advice)
                    yield found._replace(near=not isinstance(loop, ast.AsyncFor))


def _of_library(call: CallSite, function: Function) -> Iterator[Violation]:
    libraries = function.resolver.libraries
    if is_default_in_process(call, function) or _only_prepares(call.node):
        return
    if _never_waits(call, function) or _is_in_memory(call, function):
        return
    # The methods of what a call has returned are not the library's calls: `get(…).json()`.
    if libraries.find("blocks", call.holder):
        return
    if call.method.startswith("__"):
        if (library := libraries.find("special", call.origin)) and not _gives_up(call):
            yield _violation(call, library, library.likely)
    elif library := function.resolver.library("blocks", call.origin):
        yield _violation(call, library, _doubt(call, function))._replace(near=library.near)
    elif library := function.resolver.library("may_block", call.origin):
        if _reads_kernel(call) or _is_in_process(call, function) or not _waits(call, library):
            return
        yield _violation(call, library, library.likely)._replace(near=library.near)


def _violation(call: CallSite, library: Library, likely: str) -> Violation:
    advice = library.advice(snippet(call.node.func))
    return violation(call.node, _subject(call), likely=likely, instead=advice)


def _is_in_memory(call: CallSite, function: Function) -> bool:
    """Whether a call reads or changes a session that the request has read before."""
    is_of_session = call.holder == SESSION and call.method not in IN_STORE
    return is_of_session and is_read_before(call.node.lineno, function)


def _gives_up(call: CallSite) -> bool:
    """Whether a lock is not waited for: `cache.lock(…, blocking=False)`."""
    match call.node.func:
        case ast.Attribute(value=ast.Call(keywords=given)):
            return any(each.arg == "blocking" for each in given)
    return False


def _subject(call: CallSite) -> str:
    """What calls, as it is written: `send()`, and `x in cache` for a special method."""
    match call.node.func:
        case ast.Attribute(value=held, attr="__enter__"):
            return f"`with {snippet(held)}`"
        case ast.Attribute(value=held, attr="__contains__"):
            return f"`… in {snippet(held)}`"
    if call.method == "__getattr__":
        return snippet(call.node.func)
    return f"{snippet(call.node.func)}()"


def _doubt(call: CallSite, function: Function) -> str:
    """Why a call that blocks may be short; empty if it is certain to wait."""
    if _may_be_numeric(call):
        return NUMERIC
    is_local = OF_FIELDS.matches(call.origin) and not function.resolver.facts.has_other_storage
    return SMALL if is_local else ""


def _may_be_numeric(call: CallSite) -> bool:
    """Whether the name of a host says that it is an address, which no server is asked for."""
    first = call.node.args[0] if call.node.args else None
    name = getattr(first, "id", getattr(first, "attr", ""))
    return RESOLVES.matches(call.origin) and NAME_OF_ADDRESS.fullmatch(name) is not None


def _never_waits(call: CallSite, function: Function) -> bool:
    """Whether a socket does not wait. Two cases:

    1. It raises, as one that its module makes non-blocking.
    2. It sends nothing: `connect` of UDP only keeps the address.
    """
    if not call.origin.startswith("socket.socket."):
        return False
    is_of_udp = call.method == "connect" and UDP in function.scope.text_of_lines
    return is_of_udp or function.scope.module.matches(NON_BLOCKING)


def _only_prepares(call: ast.Call) -> bool:
    """Whether a call only makes an object or looks. Two cases:

    1. `projects.get(1, lazy=True)` of python-gitlab.
    2. `os.waitpid(pid, os.WNOHANG)`.
    """
    return is_set(call, "lazy") or any(has_word(each, ("WNOHANG",)) for each in call.args)


def _waits(call: CallSite, library: Library) -> bool:
    """Whether a call has the argument without which it does not wait, or may have it."""
    name, _, place = library.only_with.partition(":")
    given = call.node.args[int(place or 0) :][:1]
    given += [each.value for each in call.node.keywords if each.arg in (name, None)]
    return not name or not all(map(is_falsy, given))


def _reads_kernel(call: CallSite) -> bool:
    """Whether a file is none on a disk, such as `/proc/meminfo` and `/dev/tty`."""
    first = call.node.args[0] if call.node.args else None
    path = str(first.value) if isinstance(first, ast.Constant) else ""
    return path.startswith(("/proc/", "/sys/", "/dev/"))


def _is_in_process(call: CallSite, function: Function) -> bool:
    """Whether all caches that a file names are kept in the process: `caches["process"]`."""
    if not call.origin.startswith("django.core.cache.caches."):
        return False
    named = set(NAMED_CACHE.findall(function.scope.module.text))
    return bool(named) and named <= function.resolver.facts.local_caches
