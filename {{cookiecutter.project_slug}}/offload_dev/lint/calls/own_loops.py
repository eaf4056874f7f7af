"""Coroutines that sync code runs, each time in an event loop of its own."""

import ast
import re
from collections.abc import Iterator, Mapping

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import SECOND_LOOP
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.tree import CodeScope

TO_SYNC = "asgiref.sync.async_to_sync"
# They run a coroutine to its end in a loop that serves nobody else.
RUNS = re.compile(r"\b(asyncio\.run|run_until_complete)\(")


def run_by_sync_code(functions: Mapping[CodeScope, Function], resolver: Resolver) -> set[CodeScope]:
    """The async functions that `asyncio.run` or `async_to_sync` runs, and those that they await."""
    plain = [
        function
        for function in functions.values()
        if not function.scope.on_loop and not function.scope.module.has_own_loop
    ]
    origins = [each for function in plain for each in (*_run(function), *_wrapped(function))]
    decorated = {scope for scope, function in functions.items() if _is_wrapped(function)}
    return _with_awaited(origins, decorated, functions, resolver)


def run_in_new_loops(functions: Mapping[CodeScope, Function], resolver: Resolver) -> set[CodeScope]:
    """The async functions that `asyncio.run` and the like run, and those that they await.

    Under an async server, `async_to_sync` goes back to the loop that serves requests.
    """
    plain = (function for function in functions.values() if not function.scope.on_loop)
    origins = [each for function in plain for each in _run(function)]
    return _with_awaited(origins, set(), functions, resolver)


def _with_awaited(
    origins: list[str],
    found: set[CodeScope],
    functions: Mapping[CodeScope, Function],
    resolver: Resolver,
) -> set[CodeScope]:
    """The async functions of these origins, and those that they await."""
    named = map(resolver.function, origins)
    found |= {scope for scope in named if scope is not None and scope.on_loop}
    waiting = list(found)
    while waiting:
        calls = functions[waiting.pop()].calls
        awaited = (resolver.function(call.origin) for call in calls if call.awaited)
        new = {scope for scope in awaited if scope is not None and scope.on_loop} - found
        found |= new
        waiting += new
    return found


def runs_given(call: CallSite) -> bool:
    """Whether a call gets a function, and runs it in a loop of its own."""
    return call.origin == TO_SYNC


def starts_in_thread(call: CallSite) -> bool:
    """Whether a call makes a thread with a loop: `Thread(target=asyncio.run, args=(work(),))`."""
    if call.origin != "threading.Thread":
        return False
    given = (each.value for each in call.node.keywords if each.arg == "target")
    return any(ast.unparse(each) == "asyncio.run" for each in given)


def is_run_by_decorator(function: Function) -> bool:
    """Whether a decorator of the project runs a coroutine in a loop of its own.

    Its inner function is a plain one, with `asyncio.run` or `run_until_complete`.
    """
    if not function.scope.on_loop:
        return False
    named = (function.resolver.function(origin) for origin, _ in function.decorators)
    return any(
        isinstance(inner, ast.FunctionDef)
        and inner is not each.node
        and RUNS.search(ast.unparse(inner)) is not None
        for each in named
        if each is not None
        for inner in all_nodes(each.node)
    )


def _is_wrapped(function: Function) -> bool:
    return function.scope.on_loop and any(origin == TO_SYNC for origin, _ in function.decorators)


def _wrapped(function: Function) -> Iterator[str]:
    """The origins of what a function gives to `async_to_sync`."""
    for call in function.calls:
        if call.origin == TO_SYNC and call.arguments:
            yield call.arguments[0]


def _run(function: Function) -> Iterator[str]:
    """The origins of what a function runs in a new loop."""
    for call in function.calls:
        if SECOND_LOOP.matches(call.origin):
            inside = {each for each in all_nodes(call.node) if each is not call.node}
            yield from (made.origin for made in function.calls if made.node in inside)


def kept_for_the_process(node: ast.expr, function: Function) -> ast.expr | None:
    """The call that makes what a variable of a module, or a cached function, keeps.

    Also what the body of a class keeps, `self.client`, and what an object of a module keeps in an
    attribute.
    """
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if function.scope.owner:
            return _kept_by_class(function.scope.owner, name, function.resolver)
        case ast.Name(id=name):
            value = function.scope.module.names.get(name)
            if isinstance(value, str):
                # From another module of the project.
                holder, _, bare = value.rpartition(".")
                module = function.resolver.project.modules.get(holder)
                value = module.names.get(bare) if module else None
            return value if isinstance(value, ast.Call) else None
        case ast.Call(func=called):
            scope = function.resolver.function(function.resolver.origin(called, function.scope))
            if scope is None or not isinstance(scope.node, Def):
                return None
            cached = any(
                o.startswith("functools.") for o, _ in function.resolver.decorators.of(scope)
            )
            return node if cached or returns_global(scope.node) else None
    return None


def _kept_by_class(owner: CodeScope, name: str, resolver: Resolver) -> ast.expr | None:
    """What all instances of a class share, or the one that a module keeps."""
    found = resolver.classes.member(owner.dotted, name)
    if found is not None and isinstance(found.value, ast.Call):
        return found.value if "field" not in ast.unparse(found.value.func) else None
    made = [each.value for each in resolver.classes.assigned(owner.dotted, name)]
    is_made_once = len(made) == 1 and isinstance(made[0], ast.Call)
    return made[0] if is_made_once and owner.dotted in resolver.kept_classes else None


def returns_global(function: Def) -> bool:
    """Whether a function makes a variable of its module when it is first asked for it."""
    nodes = list(own_nodes(function))
    names = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    returned = (node.value for node in nodes if isinstance(node, ast.Return))
    return any(isinstance(value, ast.Name) and value.id in names for value in returned)
