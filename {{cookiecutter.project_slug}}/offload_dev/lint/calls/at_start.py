"""Sorts out what is wrong in a request, but right where a process starts."""

import ast
import re
from collections.abc import Iterable, Iterator

from offload_dev.lint.calls.callers import Callers
from offload_dev.lint.checks.registry import RULES, Rule, Target
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.functions.function import is_generator
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import CodeScope

# Functions with these names run once, or once for a long-lived object.
STARTS = {
    "__aenter__",
    "connect",
    "initialize",
    "lifespan",
    "main",
    "on_startup",
    "open",
    "ready",
    "run",
    "serve",
    "setup",
    "start",
    "startup",
}
# `@app.on_event("startup")`, and commands of click and typer.
DECORATORS_OF_STARTS = ("on_event", "command", "group", "on_startup")
CREATES = ("__init__", "__post_init__")
LIKELY = "right if the object is created once for the whole process"
UNDER_WSGI = "right where no async server runs this service"
ALONE = "right if nothing else runs in the same event loop"
UNRUN = "right if nothing runs this function"
# The handlers of a bot, a startup event, what a library calls.
NO_REQUEST = "right if nobody waits for this event loop: no request comes to this line"
UNCANCELLED = "right if only the end of the process cancels this"
EVENT_OF_SERVER = re.compile(r"\.on_(event\(['\"])?(startup|shutdown)")

# What these rules find matters where several tasks share an event loop.
ON_LOOP = (Target.THREAD, Target.ASYNC_FUNCTION, Target.CALL_GRAPH)

# These are about tasks of a queue, which a worker runs if somebody publishes them.
OF_TASKS = {"OFF305"}
# These are right in code that nobody runs.
IF_RUN = {"OFF110", "OFF112", "OFF306", "OFF405", "OFF501", "OFF504"}
# These are about transactions, messages and several loops, wherever they run.
WHEREVER = {"OFF110", "OFF111", "OFF112", "OFF306", "OFF307", "OFF506"}
# These are about the other tasks of a loop.
ALONE_IS_RIGHT = {
    *("OFF103", "OFF105", "OFF201", "OFF202", "OFF203", "OFF204", "OFF205"),
    *("OFF301", "OFF302", "OFF401", "OFF403", "OFF503", "OFF505", "OFF507"),
}
# Django and asyncio refuse these wherever a loop runs, also where it has one task.
REFUSED = {"OFF101", "OFF102", "OFF104", "OFF106"}
# These names stand for a start only where no request comes to them.
STARTS_OF_WORK = {"initialize", "main", "open", "run", "serve", "setup", "start"}

Found = tuple[CodeScope, Violation]


def sort_out(found: Iterable[Found], callers: Callers) -> Iterator[Found]:
    """The violations, without those that are right because of who calls their function.

    What an object creates for itself is only likely to be wrong: the object may live long. The
    event loop of a script, of a management command, and of `async_to_sync` under WSGI has one task,
    as a rule. What blocks a loop that `asyncio.run` started for one call stops nobody else. The
    loop of a bot has others only if many use it. A function that nothing names is not run.
    """
    for scope, violation in _without_dead_code(found, callers):
        rule = RULES.get(violation.rule)
        if rule is None or not _depends_on_callers(rule):
            yield scope, violation
        elif _is_right(scope, violation, rule, callers):
            continue
        elif doubt := _why_alone(scope, rule, callers):
            yield scope, violation._replace(likely=violation.likely or doubt)
        else:
            steps = [step.scope for step in violation.chain]
            is_own = rule.once_is_right and any(_name(step) in CREATES for step in steps)
            yield scope, violation._replace(likely=LIKELY) if is_own else violation


def _is_right(scope: CodeScope, violation: Violation, rule: Rule, callers: Callers) -> bool:
    is_run_alone = _is_run_alone(scope, violation, callers)
    is_at_start = is_run_alone or _is_at_start(scope, rule, callers)
    return is_at_start or _is_never_cancelled(scope, rule, callers)


def _why_alone(scope: CodeScope, rule: Rule, callers: Callers) -> str:
    """Why no request may wait for an event loop that is blocked; empty if one does for certain.

    Where a project lets queries run on its loops, they block there as other calls do.
    """
    is_query = rule.number in REFUSED and callers.allows_unsafe
    if rule.number not in ALONE_IS_RIGHT and not is_query:
        return ""
    if callers.has_view_loop(scope):
        return UNDER_WSGI
    if callers.may_be_alone(scope):
        return ALONE
    if callers.may_serve_requests(scope):
        return ""
    return UNCANCELLED if rule.number == "OFF503" else NO_REQUEST


def _without_dead_code(found: Iterable[Found], callers: Callers) -> Iterator[Found]:
    """The violations in what somebody runs, as far as these rules ask for it."""
    for scope, violation in found:
        rule = RULES.get(violation.rule)
        is_right_if_unused = rule is not None and (
            rule.number in IF_RUN or _depends_on_callers(rule)
        )
        if not is_right_if_unused:
            yield scope, violation
        elif not callers.is_unused(scope):
            likely = violation.likely or (UNRUN if callers.may_be_unused(scope) else "")
            yield scope, violation._replace(likely=likely)


def _depends_on_callers(rule: Rule) -> bool:
    is_about_loop = rule.target in ON_LOOP and rule.number not in WHEREVER
    return is_about_loop or rule.number in OF_TASKS


def _is_run_alone(scope: CodeScope, violation: Violation, callers: Callers) -> bool:
    if scope.module.has_own_loop or _is_run_by_sync_code(scope):
        return violation.rule not in REFUSED or callers.allows_unsafe
    return violation.rule in ALONE_IS_RIGHT and callers.has_own_loop(scope)


def _starts(scope: CodeScope, callers: Callers) -> bool:
    name = _name(scope)
    is_work = name in STARTS_OF_WORK and callers.serves_requests(scope)
    return (name in STARTS and not is_work) or _is_start_by_decorator(scope)


def _is_at_start(scope: CodeScope, rule: Rule, callers: Callers) -> bool:
    """Whether what a rule finds is right where a process starts, or an object that lives long."""
    if rule.once_is_right:
        return _starts(scope, callers)
    return rule.number in ALONE_IS_RIGHT and _is_before_requests(scope)


def _is_before_requests(scope: CodeScope) -> bool:
    """Whether this is what a server runs before its first request, and after its last one."""
    decorators = scope.node.decorator_list if isinstance(scope.node, Def) else []
    is_event = any(map(EVENT_OF_SERVER.search, map(ast.unparse, decorators)))
    is_lifespan = _name(scope).endswith("lifespan") and is_generator(scope)
    return scope.on_loop and (is_lifespan or is_event)


def _is_never_cancelled(scope: CodeScope, rule: Rule, callers: Callers) -> bool:
    """Whether only the end of the process cancels what a rule about cancellations finds."""
    is_of_request = callers.may_serve_requests(scope)
    return rule.number == "OFF503" and not is_of_request and not callers.cancels_tasks


def _is_run_by_sync_code(scope: CodeScope) -> bool:
    decorators = scope.node.decorator_list if isinstance(scope.node, Def) else []
    return any(ast.unparse(each).endswith("async_to_sync") for each in decorators)


def _is_start_by_decorator(scope: CodeScope) -> bool:
    decorators = scope.node.decorator_list if isinstance(scope.node, Def) else []
    calls = (each.func if isinstance(each, ast.Call) else each for each in decorators)
    return any(isinstance(f, ast.Attribute) and f.attr in DECORATORS_OF_STARTS for f in calls)


def _name(scope: CodeScope) -> str:
    """A function's own name, without the underscore of a private one."""
    name = scope.bare_name
    return name if name.startswith("__") else name.lstrip("_")
