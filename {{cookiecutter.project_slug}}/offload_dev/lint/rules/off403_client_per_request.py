"""OFF403: a client is created for one request."""

from collections.abc import Iterator

from offload_dev.lint.checks.kept import is_kept, is_kept_by_instance, makes_many_calls
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.arguments import is_set

# An Upstream takes their place. Other clients speak a protocol of their own.
HTTP_CLIENTS = {"httpx", "aiohttp", "requests", "urllib3"}
# With them a client takes its connections from a pool that somebody else keeps.
POOLS = ("connection_pool", "connector", "transport")
RARELY = "right if few requests come here"
ONE_CLIENT = "one client for the process, which the lifespan opens"


@rule(
    "OFF403",
    message="creates a client for one request",
    instead="an `Upstream`, which the lifespan opens",
    target=Target.THREAD,
    once_is_right=True,
)
def client_per_request(function: Function) -> Iterator[Violation]:
    """Finds HTTP clients that are created in a function.

    Creating one blocks the event loop for about 37 ms, which is the TLS context, and throws away
    the open connections that make calls cheap. One that is opened for many calls is right. A
    helper may be called rarely, so only the client of a view itself is certain. That of an async
    helper that closes it was right in 11 of 12 public projects, and is no finding. The client that
    an object keeps is created for one request if the object is.
    """
    is_helper = "request" not in function.resolver.parameters(function.scope)
    if is_helper and function.scope.on_loop and _closes(function):
        return
    likely = "" if function.takes_request else RARELY
    for call in function.calls:
        library = function.resolver.libraries.find("clients", call.origin)
        if library is None or is_set(call.node, *POOLS) or _subscribes(call, function):
            continue
        # What an object keeps for itself, it creates for each request that creates the object.
        if is_kept(call.node, function) and not is_kept_by_instance(call.node, function):
            continue
        if not makes_many_calls(call.node, function):
            advice = "" if library.name in HTTP_CLIENTS else ONE_CLIENT
            # A helper's helper is called rarely, as a rule.
            found = call_violation(call.node, likely=likely, instead=advice)
            yield found._replace(near=bool(likely) and is_helper)


def _subscribes(client: CallSite, function: Function) -> bool:
    """Whether a client is for one subscriber, who needs a connection alone."""
    return any(call.origin == f"{client.origin}.pubsub" for call in function.calls)


def _closes(function: Function) -> bool:
    """Whether a function closes the client that it creates."""
    libraries = function.resolver.libraries
    in_blocks = (libraries.find("clients", block.origin) for block in function.blocks)
    return any(in_blocks) or any(call.method in ("close", "aclose") for call in function.calls)
