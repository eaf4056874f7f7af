"""OFF506: several event loops or threads use what belongs to one of them."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.calls.own_loops import kept_for_the_process, returns_global
from offload_dev.lint.calls.thread_locals import THREAD_LOCAL, entered_across_awaits
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns

# What keeps connections, waiters or tasks of the loop that used it first.
OF_LOOP = Patterns(
    "aiohttp.ClientSession", "{httpx,httpx2}.AsyncClient", "openai.Async*", "anthropic.Async*",
    "{redis,valkey}.asyncio.*", "aioredis.*", "motor.motor_asyncio.*", "asyncpg.create_pool",
    "pymongo.AsyncMongoClient", "{elasticsearch,opensearchpy}.Async*", "nats.*", "aio_pika.*",
    "asyncio.{Lock,Semaphore,BoundedSemaphore,Event,Condition,Queue}",
    "sqlalchemy.ext.asyncio.{create_async_engine,async_sessionmaker}",
)  # fmt: skip
KEPT_OF_LOOP = Patterns(*OF_LOOP.patterns, "asyncio.*create_task", "channels.layers.*")
RUN = Patterns("asyncio.run")
LAYERS = Patterns("channels.layers.BaseChannelLayer")
THREAD_ID = Patterns("threading.{get_ident,current_thread,currentThread,get_native_id}")
OF_THREAD = "right for what belongs to a thread, such as a connection"
CONTEXT_VAR = "a `ContextVar`, or `asgiref.local.Local`"
IN_LOOP = "a new object in each turn, made in the coroutine"


@rule(
    "OFF506",
    message="belongs to one event loop or thread, but others use it, too",
    instead="one for each event loop, made in the coroutine that uses it",
    target=Target.CALL_GRAPH,
    severity="warning",
)
def shared_by_loops(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds what belongs to an event loop that has ended, or to another thread. Five cases:

    1. `asyncio.run(manager.run())` in a loop, with an object that was made before the loop.
    2. A client or lock of the whole process in a coroutine that sync code runs, each time in a new
       event loop.
    3. The clients that a channel layer keeps, which sync code and the server use.
    4. Values in a `threading.local`, or in a dictionary by the thread's id: all requests of an
       event loop share one thread.
    5. A context manager around an `await` that keeps its value in a `threading.local`.
    """
    yield from _runs_again(function)
    yield from _of_thread(function)
    for manager in entered_across_awaits(function, graph):
        yield violation(manager, instead=CONTEXT_VAR)
    is_run_again = function.scope in graph.run_by_sync_code
    for block in function.blocks if is_run_again else ():
        is_of_loop = isinstance(block.node, ast.AsyncWith) and OF_LOOP.matches(block.origin)
        if is_of_loop and kept_for_the_process(block.manager, function) is not None:
            yield violation(block.manager)
    for call in function.calls:
        is_shared = is_run_again and (
            _is_shared_client(call, function) or _makes_shared_client(call, graph)
        )
        if is_shared or _is_of_layer(call, function, graph):
            yield call_violation(call.node)


def _runs_again(function: Function) -> Iterator[Violation]:
    """`while True: asyncio.run(manager.run())`."""
    if not function.calls_to(RUN):
        return
    for loop in own_nodes(function.scope.node):
        if isinstance(loop, ast.While | ast.For):
            inside = {node for statement in loop.body for node in all_nodes(statement)}
            names = (node for node in inside if isinstance(node, ast.Name))
            made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            for call in function.calls_to(RUN):
                held = _held_by_method(call) if call.node in inside else None
                if held is not None and held.id not in made and _is_of_loop(held, function):
                    yield violation(call.node, f"`{held.id}`", instead=IN_LOOP)


def _held_by_method(run: CallSite) -> ast.Name | None:
    """`manager` of `asyncio.run(manager.run())`."""
    match run.node.args:
        case [ast.Call(func=ast.Attribute(value=ast.Name() as held)), *_]:
            return held
    return None


def _is_of_loop(held: ast.Name, function: Function) -> bool:
    """Whether a variable holds an object of this project that keeps something of a loop.

    An object that makes what it needs in its coroutine, such as `self`, keeps nothing.
    """
    resolver = function.resolver
    owner = resolver.classes.scope(function.origin_of(held))
    if owner is None or held.id == "self":
        return False
    return any(
        KEPT_OF_LOOP.matches(resolver.origin(each.value, each.scope, resolver.locals(each.scope)))
        for assigned in (*owner.attributes.values(), *owner.elements.values())
        for each in assigned
    )


def _is_shared_client(call: CallSite, function: Function) -> bool:
    """Whether a call uses a client of the whole process: `client.get(…)`, `client().get(…)`."""
    held: ast.expr = call.node.func
    while isinstance(held, ast.Attribute) and not _is_of_instance(held):
        held = held.value
    is_of_loop = OF_LOOP.matches(call.holder) or OF_LOOP.matches(call.origin)
    if not is_of_loop or kept_for_the_process(held, function) is None:
        return False
    return not (call.origin.startswith("sqlalchemy.") and _has_no_pool(function))


def _makes_shared_client(call: CallSite, graph: CallGraph) -> bool:
    """Whether a call gets a client that is made once: `session = await get_session()`."""
    made = graph.function(call.origin)
    if made is None or not isinstance(made.scope.node, Def) or not returns_global(made.scope.node):
        return False
    asks_for_loop = "_loop(" in made.scope.text_of_lines
    return not asks_for_loop and any(OF_LOOP.matches(each.origin) for each in made.calls)


def _is_of_instance(held: ast.Attribute) -> bool:
    """Whether this is `self.client`."""
    return isinstance(held.value, ast.Name) and held.value.id in ("self", "cls")


def _has_no_pool(function: Function) -> bool:
    """Whether the engines of SQLAlchemy keep no connections, and so nothing of a loop."""
    modules = function.resolver.project.modules.values()
    return any("create_async_engine" in m.text and "NullPool" in m.text for m in modules)


def _is_of_layer(call: CallSite, function: Function, graph: CallGraph) -> bool:
    """Whether a channel layer makes a client and keeps it, and never asks for the loop."""
    owner = function.scope.owner
    if owner is None or not OF_LOOP.matches(call.origin) or call.awaited:
        return False
    if not graph.resolver.classes.is_a(owner.dotted, LAYERS):
        return False
    return "_loop(" not in ast.unparse(owner.node)


def _of_thread(function: Function) -> Iterator[Violation]:
    """The first value that a function keeps in a `threading.local`, or by the thread's id.

    Right is what each thread makes for itself once, and what a context manager puts back.
    """
    is_made_once = function.scope.label.endswith(".__init__") or any(
        call.origin in ("builtins.hasattr", "builtins.getattr") for call in function.calls
    )
    if not function.resolver.facts.mixes_threads:
        return
    is_put_back = function.is_generator and not function.scope.on_loop
    names_threads = function.scope.module.has("threading")
    is_near = names_threads or function.resolver.facts.has_thread_locals
    if is_made_once or is_put_back or not is_near:
        return
    for node in own_nodes(function.scope.node):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            is_near = names_threads or _is_class_attribute(node.value)
            origin = function.origin_of(node.value) if is_near else ""
            if origin and function.resolver.classes.is_a(origin, THREAD_LOCAL):
                yield violation(node, likely=OF_THREAD, instead=CONTEXT_VAR)
                return
        if names_threads and isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            key = function.calls_by_node.get(node.slice)
            if key is not None and THREAD_ID.matches(key.origin):
                yield violation(node, likely=OF_THREAD, instead=CONTEXT_VAR)
                return


def _is_class_attribute(node: ast.expr) -> bool:
    """Whether this is `Context.thread`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
