"""Sessions and users of a request that somebody has read before a line: it waits for none then."""

import re
from collections.abc import Iterator

from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

# The session keeps what it has read. Source: `SessionBase._get_session` and `_aget_session` of
# Django, which have one cache.
READS_ASYNC = re.compile(r"\bawait [\w.]*(\.auser|\balogin|\balogout|\.session\.a\w+)\(")
# A middleware may be sync, and reads it in a thread then.
READS = re.compile(r"\brequest\.(user|session)\.|\.auser\(")
LOGINS = Patterns(
    "django.contrib.auth.decorators.{login_required,permission_required,user_passes_test}"
)
USER = re.compile(r"\brequest\.user\.")


def is_read_before(line: int, function: Function) -> bool:
    """Whether the session of the request is in memory at a line. Four signs:

    1. An earlier line of the function has read it, or the user.
    2. So has another method of its class, such as the `dispatch` of a mixin.
    3. So has another middleware of the project, for each request.
    4. A decorator of Django asks who is logged in.
    """
    scope, resolver = function.scope, function.resolver
    # Those of Django await `request.auser()` before an async view.
    if any(LOGINS.matches(origin) for origin, _ in function.decorators):
        return True
    first = getattr(scope.node, "lineno", line)
    before = "\n".join(scope.module.lines[first - 1 : line - 1])
    if READS_ASYNC.search(before):
        return True
    others = _other_methods(scope, resolver)
    return any(READS_ASYNC.search(each.text_of_lines) for each in others) or any(
        READS.search(each.text_of_lines) for each in _middleware(scope, resolver)
    )


def is_user_read_before(function: Function) -> bool:
    """Whether a sync middleware of the project has read `request.user` in a thread before."""
    return any(
        USER.search(each.text_of_lines) and not each.on_loop
        for each in _middleware(function.scope, function.resolver)
    )


def _middleware(scope: CodeScope, resolver: Resolver) -> Iterator[CodeScope]:
    """The functions of middleware, but for those beside a function."""
    return (each for each in resolver.facts.middleware if each.parent is not scope.parent)


def _other_methods(scope: CodeScope, resolver: Resolver) -> list[CodeScope]:
    """The methods of a function's class, and of its base classes, but for the function itself."""
    if scope.owner is None:
        return []
    owner, classes = scope.owner.dotted, resolver.classes
    named = (classes.method(owner, name) for name in classes.method_names(owner))
    inherited = (resolver.project.scopes.get(f"{base}.dispatch") for base in classes.lineage(owner))
    return [each for each in (*named, *inherited) if each is not None and each is not scope]
