"""Blocks of a function that run only under a condition, as the linter needs to know it."""

import ast
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.arguments import WITHOUT, chosen, given, is_falsy, missing, needed
from offload_dev.lint.source.nodes import Def, all_nodes, has_word, own_nodes, own_statements

ASKS_FOR_KIND = ("iscoroutinefunction(", "isawaitable(", "iscoroutine(")
ASKS_IF_ASYNC = ("async", "running_loop")
LOOP_NAMES = ("get_running_loop", "current_task")
ASKS_FOR_LOOP = tuple(f"{name}(" for name in LOOP_NAMES)
# Errors that code catches in order to go on without an async variant.
FALLBACKS = {"AttributeError", "ImportError", "RuntimeError", "SynchronousOnlyOperation"}
SETTINGS = "django.conf.settings"
CONTEXT = "contextvars.ContextVar"
UNSURE = "right if this branch runs without an event loop"

Lines = tuple[int, int]


class Setting(NamedTuple):
    """A setting that a condition asks for, and whether it is off where no file gives it."""

    name: str
    off_by_default: bool


class Conditions:
    """Writes into a function which of its blocks run only under a condition.

    Args:
        parameters: the names of the function's parameters.
    """

    def __init__(self, function: Function, parameters: set[str]) -> None:
        self.function, self.parameters = function, parameters
        # The attributes whose settings are being asked for.
        self._asking: set[ast.expr] = set()

    def note_if(self, node: ast.If) -> None:
        """Note a block that asks for a loop, that runs once or never, or that needs a parameter."""
        if self._asks_if_async(node.test):
            lines = (node.lineno, node.end_lineno or node.lineno)
            self.function.unsure.append((*lines, UNSURE))
            is_denied = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
            _note(node.body if is_denied else node.orelse, self.function.without_loop)
            if not is_denied and not self.function.scope.on_loop:
                self._note_below(node)
        if self._is_off(node.test):
            _note(node.body, self.function.without_loop)
        match node.test:
            case ast.UnaryOp(op=ast.Not(), operand=operand) if self._is_off(operand):
                self._note_below(node)
        self._note_settings(node)
        self._note_early_end(node)
        self._note_context(node)
        self._note_once(node)
        needs = [name for name in needed(node.test) if name in self.parameters]
        needs += (need for name, need in chosen(node.test) if name in self._unchanged)
        for need in needs:
            first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
            self.function.guards.append((first, last, need))
        self._note_without(missing(node.test), node.body)
        self._note_without(given(node.test), node.orelse)

    @cached_property
    def _unchanged(self) -> set[str]:
        """The parameters that have the value which the caller gives, to the function's end."""
        names = (each for each in own_nodes(self.function.scope.node) if isinstance(each, ast.Name))
        return self.parameters - {each.id for each in names if isinstance(each.ctx, ast.Store)}

    def _is_off(self, test: ast.expr) -> bool:
        """Whether a condition is never true: a constant, or a setting that no file gives."""
        if isinstance(test, ast.Constant):
            return not test.value
        asked = self._setting(test)
        is_unknown = self.function.resolver.settings.is_unknown
        return asked is not None and asked.off_by_default and is_unknown(asked.name)

    def _setting(self, test: ast.expr) -> Setting | None:
        """The setting that a condition asks for; None if it asks for something else.

        `settings.SEARCH`, and `getattr(settings, "SEARCH", False)`, also where a variable of the
        module or an attribute of the object has kept it.
        """
        resolver, scope = self.function.resolver, self.function.scope
        match test:
            case ast.Call(
                func=ast.Name(id="getattr"), args=[of, ast.Constant(value=str() as name), *default]
            ) if resolver.origin(of, scope) == SETTINGS:
                return Setting(name, any(map(is_falsy, default)))
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if scope.owner:
                # `self.fast = self.fast and self.local` asks for itself.
                if test in self._asking:
                    return None
                self._asking.add(test)
                kept = resolver.classes.assigned(scope.owner.dotted, name)
                found = {self._setting(each.value) for each in kept}
                self._asking.discard(test)
                return found.pop() if len(found) == 1 else None
            case ast.Attribute(value=of, attr=name) if resolver.origin(of, scope) == SETTINGS:
                return Setting(name, off_by_default=False)
            case ast.Name(id=name) if name not in resolver.locals(scope):
                value = scope.module.names.get(name)
                return self._setting(value) if isinstance(value, ast.Call | ast.Attribute) else None
        return None

    def _note_settings(self, node: ast.If) -> None:
        """Note a block that runs only with a setting which the files of settings turn off.

        Below `if not settings.SEARCH: return` the lines run only with it, too.
        """
        blocks = [(node.test, (node.body[0].lineno, node.body[-1].end_lineno or 0))]
        below = self._below(node)
        if below and isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            blocks.append((node.test.operand, below))
        for test, lines in blocks:
            for name in self._turned_off(test):
                self.function.unsure.append((*lines, f"right while the setting `{name}` is off"))

    def _turned_off(self, test: ast.expr) -> Iterator[str]:
        """The settings without which a condition is false, and that all files turn off."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            for each in test.values:
                yield from self._turned_off(each)
            return
        asked = self._setting(test)
        if asked is not None and self.function.resolver.settings.is_turned_off(asked.name):
            yield asked.name

    def note_choice(self, node: ast.IfExp) -> None:
        """Note the half of `await_it() if is_async() else call()` that runs without a loop."""
        if self._asks_if_async(node.test):
            half = node.body if isinstance(node.test, ast.UnaryOp) else node.orelse
            self.function.without_loop.append((half.lineno, half.end_lineno or half.lineno))

    def note_fallback(self, value: ast.expr | None) -> None:
        """Note what runs only without a parameter: `load()` of `code = code or load()`."""
        match value:
            case ast.BoolOp(op=ast.Or(), values=[ast.Name(id=name), *others]):
                self._note_without(name, others)
            case ast.IfExp(test=test, body=ast.Name(), orelse=other):
                self._note_without(given(test), [other])
            case ast.IfExp(test=test, body=other, orelse=ast.Name()):
                self._note_without(missing(test), [other])

    def _asks_if_async(self, test: ast.expr) -> bool:
        """Whether a condition asks for a loop.

        In a coroutine, asking for the kind of a callback does not: its plain half runs on the loop.
        """
        if not (self._may_ask_if_async and has_word(test, ASKS_IF_ASYNC)):
            return False
        asked = ast.unparse(test)
        if self.function.scope.on_loop and any(word in asked for word in ASKS_FOR_KIND):
            return False
        return any(word in asked for word in ASKS_IF_ASYNC)

    @cached_property
    def _may_ask_if_async(self) -> bool:
        """Whether the file has the words of such a condition: few have."""
        return any(map(self.function.scope.module.has, ASKS_IF_ASYNC))

    def note_try(self, node: ast.Try) -> None:
        """Note the handlers of code that asks for the running loop: there none runs."""
        if not any(map(self.function.scope.module.has, LOOP_NAMES)):
            return
        asked = [ast.unparse(each) for each in node.body if has_word(each, LOOP_NAMES)]
        if any(name in text for text in asked for name in ASKS_FOR_LOOP):
            for handler in node.handlers:
                lines = (handler.lineno, handler.end_lineno or handler.lineno)
                self.function.without_loop.append(lines)

    def note_handler(self, node: ast.ExceptHandler) -> None:
        """Note a handler that goes on where the async variant is missing."""
        if node.type is not None and FALLBACKS & set(ast.unparse(node.type).split(".")):
            _note(node.body, self.function.without_loop)

    def _note_below(self, node: ast.If) -> None:
        """`if is_async(): return load_async()`: the lines below run without a loop."""
        if below := self._below(node):
            self.function.without_loop.append(below)

    def _below(self, node: ast.If) -> Lines | None:
        """The lines below a block that ends the function, which run only without the block."""
        if not isinstance(node.body[-1], ast.Return | ast.Raise) or node.orelse:
            return None
        return (node.end_lineno or 0) + 1, _end_of_block(node, self.function.scope.node)

    def _note_without(self, name: str, block: Sequence[ast.stmt | ast.expr]) -> None:
        """Note a block that runs only if a parameter has no value."""
        if name in self.parameters and block:
            lines = block[0].lineno, block[-1].end_lineno or 0
            self.function.guards.append((*lines, f"{WITHOUT}{name}"))

    def _note_early_end(self, node: ast.If) -> None:
        """`if not remote: return`: the lines below run only if the parameter has a value.

        Below `if remote: return` they run only if it has none.
        """
        below = self._below(node)
        if below and (name := missing(node.test)) in self.parameters:
            self.function.guards.append((*below, name))
        if below and (name := given(node.test)) in self.parameters:
            self.function.guards.append((*below, f"{WITHOUT}{name}"))

    def _note_context(self, node: ast.If) -> None:
        """`if tenant := current.get(): return`: source does not tell what runs with a tenant."""
        test = node.test.value if isinstance(node.test, ast.NamedExpr) else node.test
        match test:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name) as asked, attr="get")):
                origin = self.function.resolver.origin(asked, self.function.scope)
                if origin == CONTEXT and isinstance(node.body[-1], ast.Return):
                    last = _end_of_block(node, self.function.scope.node)
                    why = f"right where `{name}` has a value"
                    self.function.unsure.append(((node.end_lineno or 0) + 1, last, why))

    def _note_once(self, node: ast.If) -> None:
        if not self._kept:
            return
        names = _names_in(node.test)
        first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
        if any(name in names for line, name in self._kept if first <= line <= last):
            _note(node.body, self.function.once)
        # `if client: return client`, and then `client = Client()`.
        scope = self.function.scope
        returns = any(isinstance(each, ast.Return) for each in own_nodes(node))
        if returns and any(name in names for _, name in self._kept):
            below = scope.node.end_lineno if isinstance(scope.node, Def) else None
            end = node.end_lineno or node.lineno
            self.function.once.append((end + 1, below or end))

    @cached_property
    def _kept(self) -> list[tuple[int, str]]:
        """What the lines assign that lives as long as the process: `global x`, `cls.x`."""
        assigned = (
            (each.lineno, target)
            for each in own_nodes(self.function.scope.node)
            if isinstance(each, ast.Assign)
            for target in each.targets
        )
        statements = own_statements(self.function.scope.node)
        shared = {
            name for each in statements if isinstance(each, ast.Global) for name in each.names
        }
        return [
            (line, ast.unparse(target))
            for line, target in assigned
            if getattr(target, "id", None) in shared or _is_of_class(target)
        ]


def _end_of_block(statement: ast.stmt, node: ast.AST) -> int:
    """The last line of the block that a statement of a function stands in."""
    holders = (node, *own_nodes(node))
    blocks = (value for each in holders for _, value in ast.iter_fields(each))
    block = next(each for each in blocks if isinstance(each, list) and statement in each)
    return int(block[-1].end_lineno)


def _note(body: list[ast.stmt], blocks: list[Lines]) -> None:
    if body:
        blocks.append((body[0].lineno, body[-1].end_lineno or body[-1].lineno))


def _names_in(test: ast.expr) -> set[str]:
    """The names and attributes in a condition."""
    nodes = (node for node in all_nodes(test) if isinstance(node, ast.Name | ast.Attribute))
    return set(map(ast.unparse, nodes))


def _is_of_class(target: ast.expr) -> bool:
    """Whether this is an attribute of a class: `cls.client`, `Client.instance`."""
    owner = getattr(target, "value", None)
    name = owner.id if isinstance(target, ast.Attribute) and isinstance(owner, ast.Name) else ""
    return name == "cls" or name[:1].isupper()
