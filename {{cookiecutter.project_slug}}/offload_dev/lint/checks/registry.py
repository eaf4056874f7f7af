"""The rules by their numbers, and the decorator that registers them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

from offload_dev.lint.checks.violations import Violation

Severity = Literal["error", "warning"]
Check = Callable[..., Iterator[Violation]]

DOCS = "docs/guard/"
AREAS = {
    "0": "guard",
    "1": "waiting",
    "2": "computing",
    "3": "jobs",
    "4": "fan-out",
    "5": "tasks",
    "6": "rooms",
    "7": "settings",
}


class Target(Enum):
    """What a rule's check is called with, and where its violations count."""

    # `check(function)`, for every function. A violation counts if the function runs on the event
    # loop: in an async function, and in a plain function that an async function calls. The finding
    # then shows the chain of calls.
    THREAD = auto()
    # `check(function)`, for every function. A violation always counts.
    FUNCTION = auto()
    # `check(function)`, for every async function. A violation always counts.
    ASYNC_FUNCTION = auto()
    # `check(function)`, for the lines at the top of every module.
    MODULE_BODY = auto()
    # `check(function, graph)`, for every function, with the call graph.
    CALL_GRAPH = auto()
    # `check(module, project)`, for every module.
    MODULE = auto()
    # `check(project)`, once.
    PROJECT = auto()
    # `check(suppressions)`, once, when all other findings are known.
    SUPPRESSIONS = auto()


@dataclass
class Rule:
    """One rule.

    Args:
        number: such as OFF103.
        message: what is wrong. It follows the subject of a violation: `time.sleep()` + message.
        instead: what to write instead.
        severity: an error fails `make check`, a warning does not.
        target: what `check` is called with, and where its violations count.
        check: yields the violations.
        check_call: for a rule of `Target.THREAD`, what a call adds to the function that it calls:
            `check_call(function, call, caller)`.
        once_is_right: whether the line is right in code that runs once for the whole process.
        in_sync_views: for a rule of `Target.THREAD`, whether it also counts in a sync view.
    """

    number: str
    message: str
    instead: str
    severity: Severity
    target: Target
    check: Check
    check_call: Check | None = None
    once_is_right: bool = False
    in_sync_views: bool = False

    @property
    def area(self) -> str:
        return AREAS[self.number[3]]

    @property
    def docs(self) -> str:
        """The page of the number."""
        return f"{DOCS}{self.number}.md"

    def violations(self, *checked: Any) -> Iterator[Violation]:
        """What the check yields, with the rule's number."""
        for found in self.check(*checked):
            yield found._replace(rule=self.number)

    def violations_at_call(self, *checked: Any) -> Iterator[Violation]:
        """What the check of a call yields, with the rule's number."""
        for found in self.check_call(*checked) if self.check_call else ():
            yield found._replace(rule=self.number)

    def at_call(self, check: Check) -> Check:
        """Register what a call adds, as a decorator."""
        self.check_call = check
        return check


# Each file of `rules/` adds its rule when it is imported.
RULES: dict[str, Rule] = {}


def rule(
    number: str,
    *,
    message: str,
    instead: str,
    target: Target,
    severity: Severity = "error",
    once_is_right: bool = False,
    in_sync_views: bool = False,
) -> Callable[[Check], Rule]:
    """Register the decorated function as the check of a rule. `Rule` explains the arguments.

    Raises:
        ValueError: if two rules have the same number.
    """

    def register(check: Check) -> Rule:
        if number in RULES:
            raise ValueError(f"two rules have the number {number}: give one of them a new number")
        RULES[number] = Rule(
            number,
            message,
            instead,
            severity,
            target,
            check,
            once_is_right=once_is_right,
            in_sync_views=in_sync_views,
        )
        return RULES[number]

    return register


def rules_for(target: Target) -> list[Rule]:
    """The rules for this target, in the order of their numbers."""
    return [each for each in RULES.values() if each.target is target]
