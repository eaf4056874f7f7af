"""Patches methods for the time of a test, so that each call can be asked whether it is a fault."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from unittest.mock import patch

from offload.guard.runtime import stacks

HERE = str(Path(__file__).parent)
Complain = Callable[..., str | None]


class Method(NamedTuple):
    """A method of a class of a module, which need not be installed."""

    module: str
    owner: str
    name: str


def loaded(methods: Iterable[Method]) -> Iterator[tuple[type, str]]:
    """The classes and names of those methods whose library is loaded.

    It may load the module itself only later: Celery makes tasks when they are first used.
    """
    for method in methods:
        if method.module.partition(".")[0] in sys.modules:
            with suppress(ImportError):
                owner = getattr(import_module(method.module), method.owner, None)
                if isinstance(owner, type) and hasattr(owner, method.name):
                    yield owner, method.name


@contextmanager
def complain_before(
    methods: Iterable[Method], complain: Complain, found: list[str]
) -> Iterator[None]:
    """Ask before each call of these methods what is wrong with it, with the call's arguments.

    Args:
        complain: returns what the line does wrong, such as `publishes in a transaction`; or None.
        found: gets a sentence for each such call, with the line. The same one is added once.
    """

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            wrong = complain(*args, **kwargs)
            if wrong and (sentence := f"{this_line()} {wrong}") not in found:
                found.append(sentence)
            return original(*args, **kwargs)

        return call

    with ExitStack() as stack:
        for owner, name in loaded(methods):
            stack.enter_context(patch.object(owner, name, watched(getattr(owner, name))))
        yield


def calling_steps(*between: str) -> list[stacks.Step]:
    """What this thread runs up to the line that calls a watched method, outermost first.

    Args:
        between: names of the library's own functions between that line and the method.
    """
    steps = stacks.of_this_thread()
    while steps and (
        steps[-1].code.co_filename.startswith(HERE) or steps[-1].code.co_name in between
    ):
        steps.pop()
    return steps


def is_called_by_service(steps: list[stacks.Step]) -> bool:
    """Whether the service itself calls, and not a library for it."""
    return bool(steps) and stacks.is_service_code(steps[-1])


def this_line() -> str:
    """The line of the service that runs in this thread."""
    step = stacks.responsible_step(stacks.of_this_thread())
    return str(step or "a callback")


def is_of_a_test() -> bool:
    """Whether the innermost line of the project in this thread is a test's, not the service's."""
    return is_test_code(stacks.responsible_step(stacks.of_this_thread()))


def is_test_code(step: stacks.Step | None) -> bool:
    """Whether a function stands in a file of tests, by the file's name."""
    name = PurePath(step.code.co_filename).stem if step else ""
    return name.startswith("test_") or name.endswith(("_test", "tests", "conftest"))
