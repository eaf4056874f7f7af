"""Objects that outlive the function that creates them."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import CONTEXT_MANAGERS
from offload_dev.lint.source.nodes import all_nodes, own_nodes

REPEATS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.GeneratorExp)


def is_kept(created: ast.Call, function: Function) -> bool:
    """Whether what a call creates is kept: four cases.

    1. As an attribute: `self.client = Client()`.
    2. In a collection: `client = Client()`, and then `clients[key] = client`.
    3. As a variable of the module: `global client`, and then `client = Client()`.
    4. As a context manager's value: whoever enters it decides how long it lives.
    """
    if any(CONTEXT_MANAGERS.matches(origin) for origin, _ in function.decorators):
        return True
    node, of_module = function.scope.node, _global_names(function)
    return any(
        isinstance(target, ast.Attribute | ast.Subscript)
        or getattr(target, "id", None) in of_module
        for target in _targets(created, node)
    )


def is_kept_by_instance(created: ast.Call, function: Function) -> bool:
    """Whether an object keeps what its constructor creates, for as long as it lives itself."""
    targets = list(_targets(created, function.scope.node))
    return function.scope.label.endswith(".__init__") and all(
        isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self"
        for target in targets
    )


def is_joined(created: ast.Call, function: Function) -> bool:
    """Whether a function waits for the thread that it creates: `thread.join()`."""
    names = {getattr(each, "id", "") for each in _targets(created, function.scope.node)}
    joined = (each.node.func for each in function.calls)
    return any(
        isinstance(each, ast.Attribute)
        and each.attr == "join"
        and getattr(each.value, "id", None) in names
        for each in joined
    )


def is_once_for_object(node: ast.expr, function: Function) -> bool:
    """Whether an object runs a line only once: `if self.started: return`, `self.started = True`."""
    return _is_once(node, function, {"self"})


def is_once_for_process(node: ast.expr, function: Function) -> bool:
    """Whether a process runs a line only once: `if started: return`, and `global started`."""
    return _is_once(node, function, _global_names(function))


def _is_once(node: ast.expr, function: Function, kept: set[str]) -> bool:
    """Whether a function has returned before, if what it keeps under these names is there."""
    nodes = own_nodes(function.scope.node)
    targets = (each for n in nodes if isinstance(n, ast.Assign) for each in n.targets)
    single = (n for each in targets for n in (each.elts if isinstance(each, ast.Tuple) else [each]))
    assigned = {ast.unparse(n) for n in single if ast.unparse(n).partition(".")[0] in kept}
    return any(
        isinstance(each, ast.If)
        and isinstance(each.body[-1], ast.Return)
        and (each.end_lineno or 0) < node.lineno
        and ast.unparse(each.test).removesuffix(" is not None") in assigned
        for each in nodes
    )


def makes_many_calls(created: ast.Call, function: Function) -> bool:
    """Whether a client is opened for a loop, or for calls that `gather` starts."""
    for block in function.blocks:
        if block.manager is created:
            inside = [node for statement in block.node.body for node in all_nodes(statement)]
            if any(isinstance(node, REPEATS) or _gathers(node) for node in inside):
                return True
    return False


def reads_cache(function: Function, line: int) -> bool:
    """Whether a function asks a cache above this line, by a key that is a constant."""
    for call in function.calls:
        match call.node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="cache"), attr="get" | "aget"),
                args=[ast.Name() | ast.Constant() as key, *_],
            ) if call.node.lineno < line:
                return isinstance(key, ast.Constant) or key.id.isupper()
    return False


def _global_names(function: Function) -> set[str]:
    nodes = all_nodes(function.scope.node)
    return {name for each in nodes if isinstance(each, ast.Global) for name in each.names}


def _gathers(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".gather", "TaskGroup"))


def _targets(created: ast.Call, node: ast.AST) -> Iterator[ast.expr]:
    """What is bound to a value, and what is bound to the variables that hold it."""
    names: set[str] = set()
    for each in all_nodes(node):
        if not isinstance(each, ast.Assign | ast.AnnAssign):
            continue
        if each.value is created or getattr(each.value, "id", None) in names:
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
            yield from targets
