"""The row that is saved when a receiver, or a `save`, runs."""

import ast
import re

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import CodeScope

# How far the calls of a task are followed.
MAX_STEPS = 4
RELATED_NAME = re.compile(r"""related_name=["'](\w+)["']""")


def names_saved_row(task: CodeScope, function: Function, graph: CallGraph) -> bool:
    """Whether the code of a task names the model of the row, or a relation that leads to it.

    Also where no model is known: a receiver without `sender` gets the rows of all models.
    """
    models = [graph.resolver.classes.scope(each) for each in _models(function)]
    words = {word for each in models if each is not None for word in _words(each, graph)}
    return not words or any(word in text for text in _code(task, graph) for word in words)


def _models(function: Function) -> list[str]:
    """The origins of the models: of the method's own class, or of `@receiver(…, sender=Order)`."""
    scope = function.scope
    if scope.owner is not None:
        return [scope.owner.dotted]
    decorators = scope.node.decorator_list if isinstance(scope.node, Def) else []
    senders = [
        keyword.value
        for each in decorators
        if isinstance(each, ast.Call)
        for keyword in each.keywords
        if keyword.arg == "sender"
    ]
    return [function.resolver.origin(each, scope.module) for each in senders]


def _words(model: CodeScope, graph: CallGraph) -> set[str]:
    """How code names the rows of a model: by its name, those of its relatives, and relations."""
    classes = graph.resolver.classes
    relatives = [classes.scope(each) for each in classes.lineage(model.dotted)]
    relatives += classes.heirs(model.dotted)
    known = [each for each in relatives if each is not None]
    names = {each.bare_name for each in known}
    names |= {name for each in known for name in RELATED_NAME.findall(each.text_of_lines)}
    return set(map(_plain, names))


def _code(task: CodeScope, graph: CallGraph) -> list[str]:
    """The lines of a task, and of what it calls."""
    found = [task]
    for _ in range(MAX_STEPS):
        called = (each for scope in found for each in graph.called_by(scope))
        found += dict.fromkeys(each for each in called if each not in found)
    return [_plain(scope.text_of_lines) for scope in found]


def _plain(text: str) -> str:
    """`order_line` and `OrderLine` are the same."""
    return text.replace("_", "").lower()
