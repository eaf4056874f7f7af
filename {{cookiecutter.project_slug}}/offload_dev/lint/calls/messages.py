"""The messages of Channels, whose types name the methods of consumers that they run."""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from offload_dev.lint.source.classes import Classes
from offload_dev.lint.source.names import CONSUMERS
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.tree import CodeScope, Module

TO_BROWSER = {"self.send", "self.send_json"}
BEGUN = re.compile(r"""\bf["']([\w.]+[._])\{""")
# Channels calls these methods of a consumer, and those that a message's type names.
OF_CONSUMERS = re.compile(r"(web)?socket_\w+|http_\w+|(dis)?connect|receive\w*|(en|de)code_json")


class Messages:
    """Tells which methods of consumers a message may run.

    Args:
        functions: all functions of the project.
        texts: the sources without their comments, docstrings and exports.
    """

    def __init__(
        self, functions: Iterable[CodeScope], classes: Classes, texts: Mapping[Module, str]
    ) -> None:
        self._functions, self._classes, self._texts = functions, classes, texts

    def has_consumer(self, scope: CodeScope) -> bool:
        """Whether a function is a method of a consumer."""
        return scope.owner is not None and self._classes.is_a(scope.owner.dotted, CONSUMERS)

    def may_run(self, scope: CodeScope, text: ast.expr) -> bool:
        """Whether a text in the source is the type of a message that runs a consumer's method."""
        is_type = isinstance(text, ast.Constant) and (
            str(text.value).replace(".", "_") == scope.bare_name
        )
        return is_type and text not in self._no_types

    def is_handler(self, scope: CodeScope) -> bool:
        """Whether Channels itself calls a consumer's method, or a type that a line makes up may."""
        name = scope.bare_name
        is_begun = any(map(name.startswith, self._begun_types))
        return is_begun or OF_CONSUMERS.fullmatch(name) is not None

    @cached_property
    def _begun_types(self) -> set[str]:
        """How types of messages begin whose end is not known: `f"chat.{kind}"`."""
        found = (BEGUN.findall(text) for text in self._texts.values())
        return {text.replace(".", "_") for texts in found for text in texts}

    @cached_property
    def _no_types(self) -> set[ast.AST]:
        """The texts in a consumer that are no types of messages to others. Two kinds:

        1. The keys of a dictionary.
        2. What it sends to its browser: `self.send_json({"type": "title"})`.
        """
        found: set[ast.AST] = set()
        for scope in filter(self.has_consumer, self._functions):
            nodes = own_nodes(scope.node)
            sent = (
                n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) in TO_BROWSER
            )
            in_sent = {inner for call in sent for inner in all_nodes(call)}
            for each in nodes:
                if isinstance(each, ast.Dict):
                    found.update(filter(None, each.keys))
                    found.update(each.values if each in in_sent else ())
        return found
