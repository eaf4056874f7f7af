"""OFF201: a call computes on the event loop."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.archives import only_stores
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.libraries import Library
from offload_dev.lint.settings.requirements_files import names_from
from offload_dev.lint.source.arguments import is_set
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet

# They are slow by design, and right in a thread.
HASHES = Patterns(
    "django.contrib.auth.hashers.{make_password,check_password}",
    "django.contrib.auth.hashers.{*Hasher,get_hasher,identify_hasher}.{encode,verify}",
    "*.{check_password,set_password}",
)
# They are quick with little data, so they are only warnings.
TEMPLATES = Patterns("django.shortcuts.render", "django.template.loader.render_to_string")
# These coroutines hash on the event loop in Django 5.2 (contrib/auth/hashers.py).
SLOW_COROUTINES = Patterns(
    "*.acheck_password", "django.contrib.auth.{aauthenticate,hashers.acheck_password}"
)
LITTLE_DATA = "short with little data"
HASHES_IN_THREAD = 6
KNOWN_USER = "short for a user who exists"
FIRST_ROWS = ("nrows", "n_rows")


@rule(
    "OFF201",
    message="computes on the event loop",
    instead="a job; for a password, the sync function in a thread, "
    "as in `await sync_to_async(authenticate)(…)`",
    target=Target.THREAD,
)
def computing(function: Function) -> Iterator[Violation]:
    """Finds calls that compute for long: numpy, pandas, images, archives, password hashes.

    No other request moves while the event loop's thread computes. The names are in
    `libraries.toml`.
    """
    for call in function.calls:
        if function.resolver.function(call.origin) is not None:
            # A function of the project is followed to what it calls.
            continue
        if call.awaited:
            if SLOW_COROUTINES.matches(call.origin) and not _has_no_password(call):
                yield from _of_password(call, function)
        else:
            yield from _of_call(call, function)


def _of_call(call: CallSite, function: Function) -> Iterator[Violation]:
    libraries = function.resolver.libraries
    if HASHES.matches(call.origin):
        yield call_violation(call.node, instead=_in_thread(call, "sync_to_async"))
    elif TEMPLATES.matches(call.origin):
        # What a function far from the view renders is a piece of a page, as a rule.
        if function.scope.on_loop and not _is_short_text(call.node):
            advice = _in_thread(call, "sync_to_async")
            yield call_violation(call.node, likely=LITTLE_DATA, instead=advice)._replace(near=True)
    # The methods of what a call has returned are not the library's calls.
    elif libraries.find("computes", call.holder) or _is_short(call, function):
        return
    elif library := libraries.find("computes", call.origin):
        yield _of_library(call, library)
    # What a coroutine parses that is no view is a short answer, as a rule.
    elif (library := libraries.find("may_compute", call.origin)) and (
        function.takes_request or not function.scope.on_loop
    ):
        yield _of_library(call, library)._replace(likely=LITTLE_DATA, near=True)


def _is_short(call: CallSite, function: Function) -> bool:
    """Whether a call only stores in an archive, or reads the first rows: `read_csv(…, nrows=9)`."""
    return is_set(call.node, *FIRST_ROWS) or only_stores(call.origin, function.scope.module)


def _of_password(call: CallSite, function: Function) -> Iterator[Violation]:
    """A password that Django hashes on the loop; since 6.0 only that of a name it does not know.

    Source: `acheck_password` of `django/contrib/auth/hashers.py`, and `ModelBackend.aauthenticate`.
    """
    in_thread = names_from(function.resolver.project.root, "django", HASHES_IN_THREAD)
    if not in_thread or call.method == "aauthenticate":
        likely = KNOWN_USER if in_thread else ""
        yield call_violation(call.node, likely=likely, instead=_in_thread(call, "sync_to_async"))


def _has_no_password(call: CallSite) -> bool:
    """Whether nothing is hashed, as the backends get only a request: `aauthenticate(request)`."""
    given = {keyword.arg for keyword in call.node.keywords}
    return call.method == "aauthenticate" and given <= {"request"}


def _is_short_text(call: ast.Call) -> bool:
    """Whether a template makes a text or a mail, and no page."""
    names = (a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
    return any(not name.endswith(".html") or "mail" in name for name in names)


def _of_library(call: CallSite, library: Library) -> Violation:
    advice = library.write.replace("{call}", snippet(call.node.func)) or "a job"
    found = call_violation(call.node, instead=advice, computes=not library.in_thread)
    return found._replace(in_view=library.in_view, likely=library.short_if)


def _in_thread(call: CallSite, wrapper: str) -> str:
    """The sync function in a thread: `aauthenticate` is written `authenticate` there."""
    name = snippet(call.node.func)
    head, dot, method = name.rpartition(".")
    sync = method.removeprefix("a") if call.awaited else method
    return f"`await {wrapper}({head}{dot}{sync})(…)`"
