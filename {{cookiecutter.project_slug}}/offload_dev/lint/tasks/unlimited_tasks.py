"""Celery apps whose tasks nothing limits, although one of them may never end."""

import ast
import re
import sys
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.celery_settings import APPS
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope, Module

# A task is followed through this many functions.
MAX_DEPTH = 3
LIMIT = re.compile("time_limit", re.IGNORECASE)
SCHEDULES_IN_DATABASE = "django_celery_beat"
QUERIES = re.compile(r"\.(objects|save|refresh_from_db|execute)\b")
MAIL = Patterns("django.core.mail.*", "django.contrib.auth.models.*.email_user")
# Their calls end by themselves, apart from those that the table of libraries names.
ENDS = {*sys.stdlib_module_names, "django", "celery", "asgiref", "channels", ""}
BY_COMMAND = "right if the command of the worker limits them, or each task ends by itself"
LIMIT_ADVICE = "`task_time_limit`, and a `task_soft_time_limit` below it"


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The app in a module, if a task of the project has no limit and may never end.

    Nothing is said where a line that is no option of a task names a limit: it may limit all tasks.
    """
    if "Celery(" not in module.text or module.is_script:
        return
    apps = [
        node
        for node in own_nodes(module.node)
        if isinstance(node, ast.Call) and resolver.origin(node.func, module) in APPS
    ]
    files, functions = resolver.project.files, resolver.project.functions
    tasks = [each for each in functions if apps and resolver.decorators.is_task(each)]
    limits = sum(map(_limits, tasks))
    if limits != sum(len(LIMIT.findall(each.text)) for each in files):
        return
    sent = (task for task in tasks if not _limits(task) and _may_be_sent(task, resolver))
    if any(_may_never_end(task, resolver) for task in sent):
        some = "some of whose" if limits else "whose"
        subject = f"the Celery app, {some} tasks may run for ever,"
        yield violation(apps[0], subject, likely=BY_COMMAND, instead=LIMIT_ADVICE)


def _may_be_sent(task: CodeScope, resolver: Resolver) -> bool:
    """Whether a line may send a task. Schedules in a database name tasks that no line names.

    Others send the tasks of a project that is no service.
    """
    files = resolver.project.files
    if not resolver.project.is_service:
        return True
    assert isinstance(task.node, Def)
    has_name = any("name=" in ast.unparse(each) for each in task.node.decorator_list)
    if has_name or any(SCHEDULES_IN_DATABASE in module.text for module in files):
        return True
    name = task.node.name
    naming = (module for module in files if name in module.text)
    return any(_names(node, name) for module in naming for node in all_nodes(module.node))


def _names(node: ast.AST, name: str) -> bool:
    """Whether this is a use of a task, or its dotted name in a text, as schedules have it."""
    match node:
        case ast.Name(id=used) | ast.Attribute(attr=used) | ast.alias(name=used):
            return used == name
        case ast.Constant(value=str() as text):
            return text.rpartition(".")[2] == name
    return False


def _limits(task: CodeScope) -> int:
    """How many limits the decorators of a task name."""
    assert isinstance(task.node, Def)
    return sum(ast.unparse(each).count("time_limit=") for each in task.node.decorator_list)


def _may_never_end(scope: CodeScope, resolver: Resolver, depth: int = 0) -> bool:
    """Whether a function, or one that it calls, calls something that may not end, or loops.

    A query may wait for the lock of another transaction; by default, no database limits that.
    """
    if QUERIES.search(scope.text_of_lines):
        return True
    local = resolver.locals(scope)
    for node in own_nodes(scope.node):
        match node:
            case ast.While(test=ast.Constant(value=value)) if value:
                return True
            case ast.Call(func=func):
                origin = resolver.origin(func, scope, local)
                called = resolver.function(origin) if depth < MAX_DEPTH else None
                if called is not None and _may_never_end(called, resolver, depth + 1):
                    return True
                if called is None and _is_unlimited(origin, resolver):
                    return True
    return False


def _is_unlimited(origin: str, resolver: Resolver) -> bool:
    """Whether a call waits for another service or process, or runs code that nobody knows here.

    The timeout of an HTTP client limits each read, and no call as a whole.
    """
    if MAIL.matches(origin):
        return not any("EMAIL_TIMEOUT" in each.text for each in resolver.project.files)
    package = origin.partition(".")[0]
    is_known = package in ENDS or resolver.classes.scope(origin) is not None
    is_known |= any(package == each.partition(".")[0] for each in resolver.project.modules)
    waits = resolver.libraries.find("blocks", origin) is not None
    return origin != "time.sleep" and (waits or not is_known)
