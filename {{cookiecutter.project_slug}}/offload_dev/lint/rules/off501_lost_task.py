"""OFF501: a task is started, but nothing refers to it."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.coroutine_values import returns_coroutine
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function, awaits, is_abstract
from offload_dev.lint.source.arguments import is_falsy
from offload_dev.lint.source.names import NEW_TASK, TO_THREAD
from offload_dev.lint.source.nodes import Def, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

SHIELD = Patterns("asyncio.shield")
GATHER = Patterns("asyncio.{gather,shield}")
# Methods of a task that keep no reference to it.
OF_TASKS = {"add_done_callback", "set_name", "get_name"}
HAS_TIMER = "right if nobody needs its error: the loop's timer refers to the task while it waits"
SLEEP, WAIT_FOR = Patterns("asyncio.sleep"), Patterns("asyncio.wait_for")
LIKELY = "right if nothing cancels this function: then only the shield refers to the task"


@rule(
    "OFF501",
    message="starts a task that nothing refers to",
    instead="a `TaskGroup`; for work after the answer, a job",
    target=Target.FUNCTION,
)
def lost_task(function: Function) -> Iterator[Violation]:
    """Finds `asyncio.create_task(…)`, and `gather`, whose result is not kept.

    The event loop has only a weak reference to a task, so the garbage collector may end it half
    way. Nobody sees its exception. So it is after a cancellation with `shield(f())`, which makes a
    task that nothing else refers to; a warning. A plain receiver of a model's signal has no event
    loop: Django refuses the `save()` that sends the signal on a loop's thread.
    """
    if _receives_row(function) or _has_no_loop(function):
        return
    starts = any(NEW_TASK.matches(call.origin) for call in function.calls)
    unkept = _in_variables_that_end(function) if starts else set()
    for call in function.calls:
        is_dropped = (call.dropped and not call.awaited) or call.node in unkept
        if is_dropped and (NEW_TASK.matches(call.origin) or GATHER.matches(call.origin)):
            task = _coroutine_of(call, function)
            # The loop itself refers to a task until its first wait.
            if task is None or is_abstract(task) or awaits(task.node.body):
                likely = HAS_TIMER if task and _waits_for_timers(task, function) else ""
                yield call_violation(call.node, likely=likely)
        elif SHIELD.matches(call.origin) and _makes_task(call, function):
            advice = "`task = asyncio.create_task(…)`, kept, and then `shield(task)`"
            yield call_violation(call.node, likely=LIKELY, instead=advice)


def _has_no_loop(function: Function) -> bool:
    """Whether a decorator runs a plain function in a thread: no task starts there."""
    return not function.scope.on_loop and any(
        TO_THREAD.matches(origin) for origin, _ in function.decorators
    )


def _in_variables_that_end(function: Function) -> set[ast.AST]:
    """What is bound to variables that a function without `await` only gives callbacks.

    The variable ends with the function, and the event loop's reference is a weak one.
    """
    node = function.scope.node
    if not isinstance(node, Def) or awaits(node.body):
        return set()
    uses: dict[str, list[ast.AST]] = {}
    for each in own_nodes(node):
        match each:
            case ast.Attribute(value=ast.Name(id=name) as held, attr=attr) if attr in OF_TASKS:
                uses.setdefault(name, []).append(held)
    bound = {}
    for each in own_nodes(node):
        match each:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                bound[name] = value
    outer = (each.names for each in own_nodes(node) if isinstance(each, ast.Global | ast.Nonlocal))
    for name in (name for names in outer for name in names):
        bound.pop(name, None)
    names = [each for each in own_nodes(node) if isinstance(each, ast.Name)]
    return {
        value
        for name, value in bound.items()
        if all(
            isinstance(each.ctx, ast.Store) or each in uses.get(name, ())
            for each in names
            if each.id == name
        )
    }


def _coroutine_of(start: CallSite, function: Function) -> CodeScope | None:
    """The project's own coroutine that a call makes a task of."""
    first = start.node.args[0] if start.node.args else None
    call = function.calls_by_node.get(first) if isinstance(first, ast.Call) else None
    task = function.resolver.function(call.origin) if call else None
    return task if task is not None and task.on_loop else None


def _waits_for_timers(task: CodeScope, function: Function) -> bool:
    """Whether a task awaits only `asyncio.sleep` and `asyncio.wait_for` with a timeout."""
    nodes = list(own_nodes(task.node))
    awaited = [each.value for each in nodes if isinstance(each, ast.Await)]
    others = any(isinstance(each, ast.AsyncFor | ast.AsyncWith) for each in nodes)
    return bool(awaited) and not others and all(_has_timer(e, task, function) for e in awaited)


def _has_timer(awaited: ast.expr, task: CodeScope, function: Function) -> bool:
    """Whether a timer of the event loop refers to what waits here, as long as it waits."""
    if not isinstance(awaited, ast.Call):
        return False
    origin = function.resolver.origin(awaited.func, task)
    given = [*awaited.args[1:], *(e.value for e in awaited.keywords if e.arg == "timeout")]
    is_timed = bool(given) and not is_falsy(given[0])
    return SLEEP.matches(origin) or (WAIT_FOR.matches(origin) and is_timed)


def _makes_task(shield: CallSite, function: Function) -> bool:
    """Whether a shield gets a coroutine, and not a task."""
    first = shield.node.args[0] if shield.node.args else None
    call = function.calls_by_node.get(first) if isinstance(first, ast.Call) else None
    return call is not None and returns_coroutine(call, function)


def _receives_row(function: Function) -> bool:
    arguments = getattr(function.scope.node, "args", None)
    names = {each.arg for each in arguments.args} if arguments else set()
    return not function.scope.on_loop and {"sender", "instance"} <= names
