"""Which plain functions the event loop runs: hooks, callbacks and what a framework calls there."""

import ast
from collections.abc import Mapping
from functools import cached_property

from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import (
    CALLBACKS,
    CALLING_DECORATORS,
    HOOKS_OF_OLD_NINJA,
    LOOP_HOOKS,
    MAY_BE_HOOKS,
    MAY_BE_ON_LOOP,
    NINJA_HANDLERS,
    ON_LOOP,
)
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

UNDER_ASGI = "right where no async server calls it"
FOR_PLAIN_ENDPOINTS = "right for the errors of plain endpoints"
UNSENT = "right if no coroutine sends a request with the client of this transport"
NEW_NINJA = "right with django-ninja 1.5 or newer, which calls it in a thread"
# Channels runs its methods in a thread, although it inherits from the async one.
SYNC_CONSUMERS = Patterns("channels.*SyncConsumer")
VIEWS = Patterns("django.views.*", "adrf.*")
STRAWBERRY = Patterns("strawberry.{,permission.}BasePermission.has_permission")
# What the async client of httpx awaits for each request, and the methods by which others send one.
TRANSPORTS = Patterns("httpx.*.handle_async_request")
SENDS = Patterns("httpx.AsyncClient.{get,post,put,patch,delete,head,options,request,send,stream}")
# Decorators of Ninja: `@router.get("/orders")`.
ENDPOINTS = {"get", "post", "put", "patch", "delete", "api_operation"}
# What a class-based view runs on the event loop before its async handler, and the handlers.
BEFORE_HANDLER = {"setup", "dispatch", "test_func", "has_permission"}
HANDLERS = ("get", "post", "put", "patch", "delete", "head")


class LoopFunctions:
    """Answers whether a function runs on the event loop.

    Args:
        functions: all functions.
    """

    def __init__(self, functions: Mapping[CodeScope, Function], resolver: Resolver) -> None:
        self._functions, self._resolver = functions, resolver

    def runs_on_loop(self, scope: CodeScope) -> bool:
        """Whether the event loop runs a function. Five cases:

        1. An async function.
        2. A method that an async view runs before its handler.
        3. A plain function that a framework calls on the loop, as its decorator says.
        4. A callback of the loop.
        5. A plain `__call__` of an ASGI application, such as a middleware of Channels.
        """
        if scope.on_loop or scope in self._callbacks or self.may_run_on_loop(scope):
            return True
        if any(ON_LOOP.matches(origin) for origin, _ in self._functions[scope].decorators):
            return True
        if self._is_hook(scope, LOOP_HOOKS) or self._runs_before_handler(scope):
            return True
        return _is_application(scope)

    def may_run_on_loop(self, scope: CodeScope) -> str:
        """Why a plain function may run on the loop and may not; empty if nothing says so.

        A framework calls it there if an async server runs it. Ninja does so only for async
        endpoints, and Strawberry only below a view that is async. A library has none, but is used
        by some.
        """
        if scope.on_loop:
            is_unsent = self._is_hook(scope, TRANSPORTS) and not self._sends_requests
            return UNSENT if is_unsent else ""
        origins = [origin for origin, _ in self._functions[scope].decorators]
        is_resolver = any(map(MAY_BE_ON_LOOP.matches, origins)) or scope in self._field_resolvers
        if is_resolver or self._is_hook(scope, STRAWBERRY):
            return "" if self._resolver.facts.resolves_in_threads else UNDER_ASGI
        if self._has_plain_endpoints_alone and scope.module.has("ninja"):
            return ""
        if any(map(NINJA_HANDLERS.matches, origins)) and self._endpoints:
            return FOR_PLAIN_ENDPOINTS
        if self._is_hook(scope, HOOKS_OF_OLD_NINJA):
            return NEW_NINJA
        return UNDER_ASGI if self._is_hook(scope, MAY_BE_HOOKS) else ""

    @cached_property
    def _field_resolvers(self) -> set[CodeScope | None]:
        """The functions in `total: int = strawberry.field(resolver=count)`."""
        return {
            self._resolver.function(self._resolver.origin(keyword.value, scope))
            for scope in self._resolver.project.scopes.values()
            if isinstance(scope.node, ast.ClassDef) and scope.module.has("resolver=")
            for value in scope.names.values()
            if isinstance(value, ast.Call)
            if MAY_BE_ON_LOOP.matches(self._resolver.origin(value.func, scope))
            for keyword in value.keywords
            if keyword.arg == "resolver"
        }

    @cached_property
    def _sends_requests(self) -> bool:
        """Whether a coroutine of this project awaits a request of an async client of httpx.

        Others hand the client to a library, which may never use it.
        """
        calls = (call for function in self._functions.values() for call in function.calls)
        return any(call.awaited and SENDS.matches(call.origin) for call in calls)

    @cached_property
    def _endpoints(self) -> list[CodeScope]:
        """The endpoints of Ninja."""
        return [
            scope
            for scope, function in self._functions.items()
            if any(getattr(name, "attr", "") in ENDPOINTS for _, name in function.decorators)
        ]

    @cached_property
    def _has_plain_endpoints_alone(self) -> bool:
        return bool(self._endpoints) and not any(each.on_loop for each in self._endpoints)

    def _is_hook(self, scope: CodeScope, hooks: Patterns) -> bool:
        """Whether a framework calls a method, by the class that it comes from and its name."""
        name = scope.bare_name
        lineage = self._resolver.classes.lineage(scope.owner.dotted) if scope.owner else []
        if any(map(SYNC_CONSUMERS.matches, lineage)):
            return False
        return any(hooks.matches(f"{base}.{name}") for base in lineage)

    def _runs_before_handler(self, scope: CodeScope) -> bool:
        """Whether an async view runs a method before its handler. A heir may be the view."""
        if scope.owner is None or scope.bare_name not in BEFORE_HANDLER:
            return False
        classes = self._resolver.classes
        owners = (scope.owner, *classes.heirs(scope.owner.dotted))
        return any(
            classes.is_a(owner.dotted, VIEWS)
            and any(
                method is not None and method.on_loop
                for method in (classes.method(owner.dotted, name) for name in HANDLERS)
            )
            for owner in owners
        )

    @cached_property
    def _callbacks(self) -> set[CodeScope | None]:
        """The plain functions that the event loop gets as callbacks.

        Also those that a decorator calls before an async view: `@last_modified(newest)`.
        """
        found = {
            self._resolver.function(argument)
            for function in self._functions.values()
            for call in function.calls
            if CALLBACKS.matches(call.origin)
            for argument in call.arguments
        }
        views = (scope for scope in self._functions if scope.on_loop)
        return found | {
            self._resolver.function(self._resolver.origin(each, scope.parent or scope))
            for scope in views
            for each in self._resolver.decorators.given(scope, CALLING_DECORATORS)
        }


def _is_application(scope: CodeScope) -> bool:
    """Whether a plain method takes what a server gives to an ASGI application."""
    if not scope.label.endswith(".__call__") or not isinstance(scope.node, ast.FunctionDef):
        return False
    return [each.arg for each in scope.node.args.args[1:]] == ["scope", "receive", "send"]
