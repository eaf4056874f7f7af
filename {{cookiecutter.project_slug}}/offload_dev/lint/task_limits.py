"""The time limits of a task, as its decorator, its base class and the settings give them."""

import ast

from offload_dev.lint.resolver import Resolver
from offload_dev.lint.settings_files import CELERY
from offload_dev.lint.source import CodeScope

# Celery's own default for Redis, in seconds.
VISIBILITY_TIMEOUT_SECONDS = 3600
REDIS = ("redis", "valkey", "sentinel")


class TaskLimits:
    """The limits of one task, in seconds; 0 where a limit is not known.

    Args:
        decorator: the call that makes a function a task.
    """

    def __init__(self, decorator: ast.Call, scope: CodeScope, resolver: Resolver) -> None:
        self._scope, self._resolver, self._settings = scope, resolver, resolver.settings
        self._given = {keyword.arg: keyword.value for keyword in decorator.keywords}

    @property
    def soft(self) -> int:
        return self._limit("soft_time_limit")

    @property
    def hard(self) -> int:
        return self._limit("time_limit")

    @property
    def acks_late(self) -> bool:
        """Whether the message is acknowledged after the task has ended."""
        if "acks_late" in self._given:
            return getattr(self._given["acks_late"], "value", None) is True
        return self._settings.is_true(f"{CELERY}TASK_ACKS_LATE")

    @property
    def visibility_timeout(self) -> int:
        """After how many seconds Redis delivers a message again; 0 for another broker."""
        broker = self._settings.text(f"{CELERY}BROKER_URL").lower()
        if not any(word in broker for word in REDIS):
            return 0
        options = self._settings.values(f"{CELERY}BROKER_TRANSPORT_OPTIONS")
        if not options:
            return VISIBILITY_TIMEOUT_SECONDS
        match options:
            case [(ast.Dict(keys=keys, values=values), module)]:
                names = (getattr(key, "value", "") for key in keys)
                given = dict(zip(names, values, strict=True))
                if "visibility_timeout" in given:
                    return self._seconds(given["visibility_timeout"], module)
                return 0 if "" in given else VISIBILITY_TIMEOUT_SECONDS
        return 0

    def _limit(self, name: str) -> int:
        if name in self._given:
            return self._seconds(self._given[name], self._scope)
        base = self._resolver.origin(self._given.get("base"), self._scope.module)
        member = self._resolver.classes.member(base, name) if base else None
        if member is not None and isinstance(member.value, ast.expr):
            return self._seconds(member.value, member.scope)
        values = self._settings.values(f"{CELERY}TASK_{name.upper()}")
        return self._seconds(*values[0]) if len(values) == 1 else 0

    def _seconds(self, value: ast.expr, scope: CodeScope) -> int:
        found = self._resolver.number(value, scope)
        is_one = isinstance(value, ast.Constant) and value.value == 1
        return 0 if found == 1 and not is_one else found
