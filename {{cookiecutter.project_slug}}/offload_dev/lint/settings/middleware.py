"""The async methods of middleware that Django never awaits."""

import ast
from collections.abc import Iterator

from offload_dev.lint.settings.settings_files import SettingsFiles
from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.nodes import Def, all_nodes
from offload_dev.lint.source.tree import CodeScope

ASYNC_CALL = "__acall__"
NEXT = "get_response"


def is_of_middleware(scope: CodeScope) -> bool:
    """Whether Django calls a function with a request: it keeps `get_response`, or stands in it."""
    if scope.owner is not None:
        return NEXT in scope.owner.attributes
    around = scope.parent.node if scope.parent is not None else None
    return isinstance(around, Def) and [each.arg for each in around.args.args] == [NEXT]


def in_sync_mode(settings: SettingsFiles, classes: Classes) -> Iterator[CodeScope]:
    """The `__acall__` of middleware that Django runs in sync mode, wherever it is installed.

    Django adapts each middleware to the one below it in `MIDDLEWARE`. One that is sync only makes
    those above it run in sync mode, too, if they can.
    """
    found: set[CodeScope] = set()
    others: set[CodeScope] = set()
    for value, _ in settings.values("MIDDLEWARE"):
        names = [each.value for each in all_nodes(value) if isinstance(each, ast.Constant)]
        is_sync = False
        for name in reversed(names):
            method = classes.method(str(name), ASYNC_CALL)
            if method is not None and _can(classes, str(name), "sync_capable"):
                (found if is_sync else others).add(method)
            is_sync |= _is_sync_only(classes, str(name))
    yield from found - others


def _is_sync_only(classes: Classes, name: str) -> bool:
    """Whether all of a middleware's class is known, and nothing in it says that it is async."""
    lineage = classes.lineage(name)
    is_known = all(classes.scope(each) is not None for each in lineage if each != "builtins.object")
    return is_known and not _can(classes, name, "async_capable")


def _can(classes: Classes, name: str, capability: str) -> bool:
    """Whether a middleware has a mode. Django takes the sync one for given."""
    member = classes.member(name, capability)
    if member is None:
        return capability == "sync_capable"
    return not (isinstance(member.value, ast.Constant) and not member.value.value)
