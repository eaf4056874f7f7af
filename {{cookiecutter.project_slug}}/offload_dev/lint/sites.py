"""A line that breaks a rule, and the questions that several rules ask of a function."""

import ast
from dataclasses import dataclass

from offload_dev.lint.facts import Call
from offload_dev.lint.names import AWAITABLE, AWAITABLE_ON_ROWS, among
from offload_dev.lint.origins import Origins
from offload_dev.lint.source import Def, Scope, own_nodes


@dataclass(frozen=True)
class Site:
    """A line that breaks a rule, in the words of the source."""

    rule: str
    node: ast.AST
    subject: str = ""
    doubtful: bool = False
    in_gil: bool = False

    @property
    def line(self) -> int:
        return int(getattr(self.node, "lineno", 1))


def words(node: ast.AST) -> str:
    """The source of a node, short enough for a message."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) < 60 else text[:57] + "..."


def is_task(scope: Scope | None, origins: Origins) -> bool:
    """Whether a function is made a task or job by its decorator."""
    return scope is not None and any(
        among(origin, "moves", "tasks") or origin.endswith(".task")
        for origin, _ in decorators(scope, origins)
    )


def decorators(scope: Scope, origins: Origins) -> list[tuple[str, ast.expr]]:
    """The origin of each decorator of a function, called or not."""
    if not isinstance(scope.node, Def):
        return []
    bare = [node.func if isinstance(node, ast.Call) else node for node in scope.node.decorator_list]
    return [(origins.of(node, scope.parent or scope), node) for node in bare]


def yields(scope: Scope) -> bool:
    """Whether a function is a generator."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(scope.node))


def is_async_query(call: Call, origins: Origins) -> bool:
    """Whether a call makes the coroutine of an async query."""
    head, _, method = call.origin.rpartition(".")
    on_row = method in AWAITABLE_ON_ROWS and origins.is_model(head)
    return on_row or (method in AWAITABLE and origins.is_query(head))


def in_request_thread(origin: str, wrapper: ast.expr) -> bool:
    """Whether what is wrapped so surely runs in the request's own thread, as asgiref does if
    nothing else is said.
    """
    named = ast.unparse(wrapper.func if isinstance(wrapper, ast.Call) else wrapper)
    # Else it is the wrapped function itself that is called.
    wraps = named.endswith(origin.rpartition(".")[2])
    return (
        wraps
        and among(origin, "moves", "request_thread")
        and "thread_sensitive" not in ast.unparse(wrapper)
    )
