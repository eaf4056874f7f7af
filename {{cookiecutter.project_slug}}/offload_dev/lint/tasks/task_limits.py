"""The time limits of a task, as its decorator, its base class and the settings give them."""

import ast

from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.durations import seconds
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.tree import CodeScope


class TaskLimits:
    """The limits of one task, in seconds; 0 where a limit is not known.

    Args:
        decorator: the call that makes a function a task.
    """

    def __init__(self, decorator: ast.Call, scope: CodeScope, resolver: Resolver) -> None:
        self._scope, self._resolver, self._settings = scope, resolver, resolver.celery
        self._given = {keyword.arg: keyword.value for keyword in decorator.keywords}

    @property
    def paces_retries(self) -> bool:
        """Whether the task says itself when it runs again: `self.retry(countdown=60)`."""
        calls = (node for node in own_nodes(self._scope.node) if isinstance(node, ast.Call))
        return any(
            getattr(call.func, "attr", "") == "retry"
            and not {"countdown", "eta"}.isdisjoint(keyword.arg for keyword in call.keywords)
            for call in calls
        )

    @property
    def soft(self) -> int:
        return self._limit("soft_time_limit")

    @property
    def hard(self) -> int:
        return self._limit("time_limit")

    @property
    def retry_delay(self) -> int:
        """After how many seconds it is tried again, if its own options say so."""
        given = self._given.get("default_retry_delay")
        return seconds(given, self._scope, self._resolver) if given is not None else 0

    @property
    def acks_late(self) -> bool:
        """Whether the message is acknowledged after the task has ended."""
        if "acks_late" in self._given:
            return getattr(self._given["acks_late"], "value", None) is True
        return self._settings.is_true("task_acks_late")

    @property
    def has_own(self) -> bool:
        """Whether the decorator itself says how long the task runs, or when it is acknowledged."""
        return not {"acks_late", "time_limit", "base"}.isdisjoint(self._given)

    def _limit(self, name: str) -> int:
        if name in self._given:
            return seconds(self._given[name], self._scope, self._resolver)
        base = self._resolver.origin(self._given.get("base"), self._scope.module)
        member = self._resolver.classes.member(base, name) if base else None
        if member is not None and isinstance(member.value, ast.expr):
            return seconds(member.value, member.scope, self._resolver)
        return self._settings.seconds(f"task_{name}")
