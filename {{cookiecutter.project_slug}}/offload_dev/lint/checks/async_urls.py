"""The async views that the URLs of a project name."""

import ast
from collections.abc import Iterator

from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import all_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope, Module

PATHS = Patterns("django.urls.{,conf.}{path,re_path}", "django.conf.urls.url")
REST = Patterns("rest_framework.*")
NON_ATOMIC = "django.db.transaction.non_atomic_requests"
HANDLERS = ("get", "post", "put", "patch", "delete")


def async_views(resolver: Resolver) -> Iterator[CodeScope]:
    """The async functions and handlers of `path("", view)` and `path("", View.as_view())`.

    Those that say themselves that they need no transaction are left out, and so are those of REST
    framework: it makes a plain view of each.
    """
    for module in resolver.project.files:
        if module.path.name == "urls.py":
            for scope in _of_module(module, resolver):
                decorators = {origin for origin, _ in resolver.decorators.of(scope)}
                owner = scope.owner
                is_plain = any(map(REST.matches, decorators)) or (
                    owner is not None and resolver.classes.is_a(owner.dotted, REST)
                )
                if scope.on_loop and NON_ATOMIC not in decorators and not is_plain:
                    yield scope


def _of_module(module: Module, resolver: Resolver) -> Iterator[CodeScope]:
    for node in all_nodes(module.node):
        match node:
            case ast.Call(func=path, args=[_, view, *_]) if PATHS.matches(
                resolver.origin(path, module)
            ):
                yield from _views(view, module, resolver)


def _views(view: ast.expr, module: Module, resolver: Resolver) -> Iterator[CodeScope]:
    match view:
        case ast.Call(func=ast.Attribute(value=owner, attr="as_view")):
            origin = resolver.origin(owner, module)
            found = [resolver.classes.method(origin, name) for name in HANDLERS]
        case ast.Name() | ast.Attribute():
            found = [resolver.function(resolver.origin(view, module))]
        case _:
            found = []
    yield from (scope for scope in found if scope is not None)
