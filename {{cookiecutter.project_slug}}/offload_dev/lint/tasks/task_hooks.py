"""Errors in the hooks of a task, which Celery does not try again."""

import ast
import builtins
import re
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import TASK_CLASSES
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.tree import CodeScope, Module

AUTORETRY = "autoretry_for"
# Celery calls them around `run`, which alone is tried again.
HOOKS = ("before_start", "__call__", "on_success", "after_return")
# They stand for nearly any error, so the one in the hook may not be meant.
WIDE = {"builtins.Exception", "builtins.BaseException"}
FINAL = "right if this error is to end the task at once"
ADVICE = "`raise self.retry(exc=…)`, or the same check in the task itself"
# Calls of a hook are followed this far.
MAX_STEPS = 2


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The errors of `autoretry_for` that a hook raises: Celery fails the task at once."""
    if not any(f"def {hook}(" in module.text for hook in HOOKS):
        return
    texts = [each.text for each in resolver.project.files]
    if not any(AUTORETRY in text for text in texts) or any(f"dont_{AUTORETRY}" in t for t in texts):
        return
    for scope in resolver.project.scopes.values():
        is_class = scope.module is module and isinstance(scope.node, ast.ClassDef)
        if is_class and resolver.classes.is_a(scope.dotted, TASK_CLASSES):
            retried = set(_retried(scope, resolver))
            for hook in HOOKS if retried else ():
                method = resolver.project.scopes.get(f"{scope.dotted}.{hook}")
                if method is not None and hook in scope.names:
                    yield from _of_hook(method, hook, retried, resolver)


def _of_hook(
    method: CodeScope, hook: str, retried: set[str], resolver: Resolver
) -> Iterator[Violation]:
    for node, error in _raised(method, resolver):
        named = [each for each in retried if _is_a(error, each, resolver)]
        if named:
            likely = FINAL if set(named) <= WIDE else ""
            name = error.rpartition(".")[2]
            subject = f"`{AUTORETRY}`, for the `{name}` of `{hook}`,"
            yield violation(node, subject, likely=likely, instead=ADVICE)


def _retried(owner: CodeScope, resolver: Resolver) -> Iterator[str]:
    """The errors for which the tasks of a class are tried again.

    The class says so, one that derives from it, or a task that has one of them as its `base`. An
    app may make one of them the base of all tasks: `Celery("shop", task_cls=OwnTask)`.
    """
    classes = [owner, *resolver.classes.heirs(owner.dotted)]
    for each in classes:
        member = resolver.classes.member(each.dotted, AUTORETRY)
        if member is not None:
            yield from _errors(member.value, member.scope, resolver)
    names = {each.dotted for each in classes}
    named = "|".join(name.rpartition(".")[2] for name in names)
    default = re.compile(rf"(?:\btask_cls|\.Task) *= *[\"']?[\w.:]*\b(?:{named})\b")
    is_default = any(default.search(each.text) is not None for each in resolver.project.files)
    for task in filter(resolver.decorators.is_task, resolver.project.functions):
        assert isinstance(task.node, Def)
        for decorator in task.node.decorator_list:
            given = {e.arg: e.value for e in getattr(decorator, "keywords", ())}
            around = task.parent or task
            base = given.get("base")
            is_own = is_default if base is None else resolver.origin(base, around) in names
            if AUTORETRY in given and is_own:
                yield from _errors(given[AUTORETRY], around, resolver)


def _errors(value: ast.expr | str, scope: CodeScope, resolver: Resolver) -> Iterator[str]:
    """The origins of the errors in a tuple or list, also of a constant of the module."""
    if isinstance(value, ast.Name):
        value = scope.module.names.get(value.id, value)
    if isinstance(value, ast.Tuple | ast.List):
        yield from filter(None, (resolver.origin(each, scope) for each in value.elts))


def _raised(
    scope: CodeScope, resolver: Resolver, steps: int = MAX_STEPS
) -> Iterator[tuple[ast.AST, str]]:
    """The lines that raise an error, also by a function that they call, and the errors.

    What stands in a `try` may be caught.
    """
    local = resolver.locals(scope)
    tried = {
        node
        for each in own_nodes(scope.node)
        if isinstance(each, ast.Try) and each.handlers
        for statement in each.body
        for node in all_nodes(statement)
    }
    for node in own_nodes(scope.node):
        match node:
            case ast.Raise(exc=ast.expr() as raised) if node not in tried:
                error = raised.func if isinstance(raised, ast.Call) else raised
                yield node, resolver.origin(error, scope, local)
            case ast.Call(func=called) if node not in tried and steps:
                helper = resolver.function(resolver.origin(called, scope, local))
                if helper is not None and helper is not scope and not helper.on_loop:
                    yield from ((node, e) for _, e in _raised(helper, resolver, steps - 1))


def _is_a(error: str, named: str, resolver: Resolver) -> bool:
    """Whether an error is of a kind, also of Python: each `ConnectionError` is an `OSError`."""
    for each in resolver.classes.lineage(error):
        holder, _, name = each.rpartition(".")
        found = getattr(builtins, name, None) if holder == "builtins" else None
        mro = found.__mro__ if isinstance(found, type) else ()
        if each == named or named in {f"builtins.{base.__name__}" for base in mro}:
            return True
    return False
