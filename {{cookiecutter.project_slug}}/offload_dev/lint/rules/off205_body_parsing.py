"""OFF205: a body of any size is parsed on the event loop."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import REQUEST
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

PARSERS = Patterns("{json,orjson,ujson,simplejson,rapidjson}.{loads,load}")
# `if not compare_digest(given, settings.WEBHOOK_SECRET): return HttpResponseForbidden()`.
SECRET = re.compile(r"compare_digest|secret|signature", re.IGNORECASE)
# A name of a constant. In `path("<token>/", view)` the client chooses the text.
ADDRESS = r"path\([^,\n<]*(?:TOKEN|SECRET)[^,\n]*,\s*(?:\w+\.)*{name}\b"
BODY, FILES = f"{REQUEST}.body", f"{REQUEST}.FILES"
# Django refuses a larger body. Its default is 2.5 MB, about 25 ms of the event loop.
LIMIT = "DATA_UPLOAD_MAX_MEMORY_SIZE"


@rule(
    "OFF205",
    message="parses a body of any size on the event loop",
    instead="a typed parameter of the endpoint",
    target=Target.THREAD,
    severity="warning",
)
def body_parsing(function: Function) -> Iterator[Violation]:
    """Finds `json.loads(request.body)`, and the same for a file that the request brings.

    The client decides how long that takes: one megabyte is about 10 ms on the event loop. A
    function that looks at the length of the body has decided for itself. Behind a secret the client
    is one that the service knows. Settings that leave Django's limit as it is have decided, too;
    it limits no files. A service of the standard has typed parameters.
    """
    resolver = function.resolver
    is_short = resolver.settings.is_unknown(LIMIT) and not resolver.project.of_standard
    brought = (FILES,) if is_short else (BODY, FILES)
    for call in function.calls_not_awaited:
        parsed = call.arguments[0] if call.arguments else ""
        is_parser = PARSERS.matches(call.origin) and parsed.startswith(brought)
        if is_parser and not _is_limited(call.node, function):
            yield call_violation(call.node)


def _is_limited(call: ast.Call, function: Function) -> bool:
    """Whether something else decides how large the body is, or who may send it."""
    if _looks_at_length(function) or _is_behind_secret(call, function):
        return True
    return _has_secret_address(function.scope, function.resolver.project)


def _is_behind_secret(call: ast.Call, function: Function) -> bool:
    """Whether a function has refused before who does not know a secret."""
    return any(
        isinstance(each, ast.If)
        and (each.end_lineno or 0) < call.lineno
        and isinstance(each.body[-1], ast.Return | ast.Raise)
        and SECRET.search(ast.unparse(each.test)) is not None
        for each in own_nodes(function.scope.node)
    )


def _has_secret_address(view: CodeScope, project: Project) -> bool:
    """Whether few know the address of a view, as with `path(BOT_TOKEN, Webhook.as_view())`."""
    name = re.escape((view.owner or view).dotted.rpartition(".")[2])
    route = re.compile(ADDRESS.format(name=name))
    texts = (each.text for each in project.files if "urlpatterns" in each.text)
    return any(route.search(text) is not None for text in texts)


def _looks_at_length(function: Function) -> bool:
    return any(
        call.origin == "builtins.len" and call.arguments[:1] == (f"{REQUEST}.body",)
        for call in function.calls
    ) or "CONTENT_LENGTH" in ast.dump(function.scope.node)
