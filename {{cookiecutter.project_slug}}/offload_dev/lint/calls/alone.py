"""Which functions are alone in their event loop, since each of their callers starts one."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.calls.mentions import Mention
from offload_dev.lint.calls.own_loops import (
    RUNS,
    TO_SYNC,
    is_run_by_decorator,
    run_in_new_loops,
    runs_given,
    starts_in_thread,
)
from offload_dev.lint.calls.unused import Unused
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.names import NEW_TASK, SECOND_LOOP
from offload_dev.lint.source.nodes import Def, all_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

# A task of Pulp runs its stages in the loop of its own process.
OF_WORKERS = Patterns("pulpcore.plugin.stages.*Stage")
# Django's workers run an async task by `async_to_sync`, each in a loop of its own.
TASKS_OF_DJANGO = Patterns("{django.tasks,django_tasks}*.task")
# A worker of LiveKit awaits them when its one job has ended.
AT_END = {"add_shutdown_callback"}
PLAIN = Patterns("builtins.staticmethod", "builtins.classmethod", "abc.abstractmethod", "typing.*")
GATHER = Patterns("asyncio.{gather,wait}")
DEFINITION = re.compile(r"\bdef (\w+)")
WORD = re.compile(r"\w+")


class Alone:
    """Follows the calls of a project backwards, to where sync code starts an event loop.

    Args:
        calls: the functions that each function calls, and the calls.
        mentions: by name, the places that name a function.
        unused: tells which functions nothing runs, and which ones a function names.
        is_called_by_others: whether code outside of the project may call a function.
    """

    def __init__(
        self,
        graph: CallGraph,
        calls: Mapping[CodeScope, Mapping[CodeScope, list[ast.Call]]],
        mentions: Mapping[str, list[Mention]],
        unused: Unused,
        is_called_by_others: Callable[[CodeScope], bool],
    ) -> None:
        self._graph, self._calls, self._mentions = graph, calls, mentions
        self._unused, self._is_called_by_others = unused, is_called_by_others
        self._words_inside: dict[CodeScope, Counter[str]] = {}
        self._named: dict[ast.expr, tuple[CodeScope | None, bool]] = {}

    @cached_property
    def certain(self) -> set[CodeScope]:
        """The functions whose callers, at least one, all start a loop, or have one themselves."""
        callers: dict[CodeScope, list[tuple[CodeScope, list[ast.Call]]]] = {}
        for caller, called in self._calls.items():
            for scope, calls in called.items():
                if scope is not caller:
                    callers.setdefault(scope, []).append((caller, calls))
        known = {
            scope
            for scope, function in self._graph.functions.items()
            if scope.module.has_own_loop
            or self._is_of_worker(scope)
            or is_run_by_decorator(function)
            or any(origin == TO_SYNC for origin, _ in function.decorators)
        }
        grows = True
        while grows:
            new = {
                scope
                for scope, found in callers.items()
                if scope not in known
                and not is_registered(self._graph.functions[scope])
                and self._are_all(scope, found)
                and all(self._starts_loop(caller, calls, known) for caller, calls in found)
            }
            known |= new
            grows = bool(new)
        return known | self._named_alone

    @cached_property
    def likely(self) -> set[CodeScope]:
        """What sync code runs in loops of their own, without what another coroutine awaits."""
        found = run_in_new_loops(self._graph.functions, self._graph.resolver)
        awaited_by: dict[CodeScope, set[CodeScope]] = {}
        for caller, called in self._calls.items():
            for scope in called if caller.on_loop else ():
                awaited_by.setdefault(scope, set()).add(caller)
        shrinks = True
        while shrinks:
            shared = {
                scope
                for scope in found
                if not awaited_by.get(scope, set()) <= found or self._is_called_by_others(scope)
            }
            found -= shared
            shrinks = bool(shared)
        return found

    @cached_property
    def shared(self) -> set[CodeScope]:
        """What may run in a loop beside other work: what others call, and what that comes to.

        Others may also call a function that a line hands to somebody, or a special method.
        """
        found = {
            scope
            for scope in self._graph.functions
            if scope.on_loop
            and (
                scope.bare_name.endswith("__")
                or self._is_called_by_others(scope)
                or self._is_handed_on(scope)
            )
        }
        waiting = list(found)
        while waiting:
            scope = waiting.pop()
            new = {*self._calls[scope], *self._unused.used_by(scope)} - found
            found |= new
            waiting += new
        return found

    def _is_handed_on(self, scope: CodeScope) -> bool:
        """Whether a line names a function without calling it."""
        return any(
            (each.is_path or each.node not in self._called_names.get(each.scope, ()))
            and self._unused.does_use(each, scope)
            for each in self._mentions.get(scope.bare_name, ())
        )

    @property
    def _of_one_call(self) -> set[CodeScope]:
        """The functions that a loop runs which ends with them, as that of `asyncio.run` in a view.

        The loop of a command may live long, and have many tasks.
        """
        return self._graph.run_by_sync_code

    @cached_property
    def _named_alone(self) -> set[CodeScope]:
        """The functions that a loop of their own runs, whatever object they are taken from.

        A name that is read without a call, or that starts a task, may hand the function to others.
        Under an async server, `async_to_sync` goes back to the loop that serves requests.
        """
        known = {
            scope
            for scope, function in self._graph.functions.items()
            if scope.module.has_own_loop
            or self._is_of_worker(scope)
            or is_run_by_decorator(function)
        }
        grows = True
        while grows:
            new = {e for e in self._open if e not in known and self._is_alone(e, known)}
            known |= new
            grows = bool(new)
        return known

    def _is_alone(self, scope: CodeScope, known: set[CodeScope]) -> bool:
        name = scope.bare_name
        found = [
            each
            for each in self._mentions.get(name, ())
            if not each.is_path
            and each.scope.bare_name != name
            and each.scope not in self._unused.functions
        ]
        return any(self._may_name(each, scope) for each in found) and all(
            self._runs_alone(each, known) or not self._may_name(each, scope) for each in found
        )

    def _may_name(self, mention: Mention, scope: CodeScope) -> bool:
        """Whether a name may stand for a function: for all that is known, or for a relative."""
        if scope.on_loop and mention.node in self._dropped:
            # A coroutine that nobody awaits does not run: this is another function.
            return False
        if isinstance(mention.node, ast.Name) and scope.owner not in (None, mention.scope):
            # A variable or a parameter: a method has an object before its name.
            return False
        if mention.node not in self._named:
            resolver = self._graph.resolver
            local = resolver.locals(mention.scope) if isinstance(mention.scope.node, Def) else None
            origin = resolver.origin(mention.node, mention.scope, local)
            named = resolver.function(origin)
            # The variable of a comprehension has no origin of its own.
            is_open = self._graph.targets.is_of_project(origin) or origin.startswith("builtins.")
            self._named[mention.node] = named, is_open
        named, is_open = self._named[mention.node]
        if named is None or named is scope:
            return is_open
        if named.owner is None or scope.owner is None:
            return False
        lineage = self._graph.resolver.classes.lineage
        ours, theirs = scope.owner.dotted, named.owner.dotted
        return ours in lineage(theirs) or theirs in lineage(ours)

    def _runs_alone(self, mention: Mention, known: set[CodeScope]) -> bool:
        scope, node = mention.scope, mention.node
        if node in self._handed_at_end:
            return True
        if not scope.on_loop and node in self._runs.get(scope, ()):
            # Under an async server, `async_to_sync` goes back to the loop that serves requests.
            return not any(
                node in all_nodes(call.node)
                for call in self._everything[scope].calls
                if runs_given(call)
            )
        is_call = node in self._called_names.get(scope, ())
        return (
            is_call
            and scope in known
            and (scope in self._of_one_call or node not in self._in_tasks.get(scope, ()))
        )

    @cached_property
    def _open(self) -> list[CodeScope]:
        """The functions that only the code of this project calls."""
        return [
            scope
            for scope in self._graph.functions
            if not scope.bare_name.endswith("__") and not self._is_called_by_others(scope)
        ]

    @cached_property
    def _called_names(self) -> dict[CodeScope, set[ast.expr]]:
        """The names that calls begin with, by the function around them."""
        return {
            scope: {call.node.func for call in function.calls}
            for scope, function in self._graph.functions.items()
        }

    @cached_property
    def _dropped(self) -> set[ast.expr]:
        """The names of calls whose result nobody gets."""
        return {
            call.node.func
            for function in self._graph.functions.values()
            for call in function.calls
            if call.dropped and not call.awaited
        }

    @cached_property
    def _handed_at_end(self) -> set[ast.AST]:
        """The names of functions that run after all others of a process."""
        return {
            given
            for function in self._graph.functions.values()
            for call in function.calls
            if getattr(call.node.func, "attr", "") in AT_END
            for given in call.node.args
        }

    @cached_property
    def _in_threads(self) -> dict[CodeScope, set[ast.AST]]:
        """What stands in calls that start a thread with a loop, by the function around them."""
        return {
            scope: {node for call in started for node in all_nodes(call.node)}
            for scope, function in self._graph.functions.items()
            if (started := list(filter(starts_in_thread, function.calls)))
        }

    @cached_property
    def _in_tasks(self) -> dict[CodeScope, set[ast.AST]]:
        """What stands in calls that start a task, by the function around them."""
        return {
            scope: {
                node
                for call in function.calls
                if NEW_TASK.matches(call.origin) or GATHER.matches(call.origin)
                for node in all_nodes(call.node)
            }
            for scope, function in self._graph.functions.items()
        }

    def _is_of_worker(self, scope: CodeScope) -> bool:
        """Whether a worker runs a function in a loop that has nothing else to do.

        Also the wrapper in a decorator of the project that only such functions have.
        """
        if self._is_task_of_django(scope):
            return True
        if scope.owner is not None:
            return self._graph.resolver.classes.is_a(scope.owner.dotted, OF_WORKERS)
        decorated = self._decorated_by.get(_outermost(scope), ())
        return bool(decorated) and all(map(self._is_task_of_django, decorated))

    def _is_task_of_django(self, scope: CodeScope) -> bool:
        return any(TASKS_OF_DJANGO.matches(o) for o, _ in self._graph.functions[scope].decorators)

    @cached_property
    def _decorated_by(self) -> dict[CodeScope, list[CodeScope]]:
        """The async functions below each decorator of the project."""
        found: dict[CodeScope, list[CodeScope]] = {}
        for scope, function in self._graph.functions.items():
            for origin, _ in function.decorators if scope.on_loop else ():
                decorator = self._graph.resolver.function(origin)
                if decorator is not None:
                    found.setdefault(decorator, []).append(scope)
        return found

    def _are_all(self, scope: CodeScope, callers: list[tuple[CodeScope, list[ast.Call]]]) -> bool:
        """Whether these calls are all places that name a function."""
        name = scope.bare_name
        if scope.parent is not None and isinstance(scope.parent.node, Def):
            # Only the function around it sees an inner one.
            named = self._words_of(scope.parent)[name]
            return named <= 1 + sum(len(calls) for _, calls in callers)
        known = self._definitions[name] + sum(len(calls) for _, calls in callers)
        return self._words[name] <= known

    def _words_of(self, scope: CodeScope) -> Counter[str]:
        """How often each word stands in the lines of a function."""
        if scope not in self._words_inside:
            self._words_inside[scope] = Counter(WORD.findall(scope.text_of_lines))
        return self._words_inside[scope]

    def _starts_loop(self, caller: CodeScope, calls: list[ast.Call], known: set[CodeScope]) -> bool:
        if caller in known:
            return True
        if caller.on_loop:
            return self._in_threads.get(caller, set()).issuperset(calls)
        return self._runs.get(caller, set()).issuperset(calls)

    @cached_property
    def _everything(self) -> dict[CodeScope, Function]:
        """The functions, and the bodies of modules: a script has `asyncio.run(main())` there."""
        bodies: dict[CodeScope, Function] = dict(self._graph.bodies.items())
        return self._graph.functions | bodies

    @cached_property
    def _runs(self) -> dict[CodeScope, set[ast.AST]]:
        """The calls that stand in `asyncio.run(…)` and the like, by the function around them."""
        return {
            scope: {
                node
                for call in function.calls
                if SECOND_LOOP.matches(call.origin) or runs_given(call) or self._hands_on(call)
                for node in all_nodes(call.node)
            }
            for scope, function in self._everything.items()
        }

    def _hands_on(self, call: CallSite) -> bool:
        """Whether a plain function of the project gets a coroutine function, and runs a loop."""
        called = self._graph.function(call.origin) if call.arguments else None
        if called is None or called.scope.on_loop:
            return False
        return RUNS.search(called.scope.text_of_lines) is not None

    @cached_property
    def _words(self) -> Counter[str]:
        texts = (module.text for module in self._graph.project.files)
        return Counter(word for text in texts for word in WORD.findall(text))

    @cached_property
    def _definitions(self) -> Counter[str]:
        texts = (module.text for module in self._graph.project.files)
        return Counter(name for text in texts for name in DEFINITION.findall(text))


def is_registered(function: Function) -> bool:
    """Whether a decorator may hand the function to somebody."""
    return any(not PLAIN.matches(origin) for origin, _ in function.decorators)


def _outermost(scope: CodeScope) -> CodeScope:
    """The function at the top of a module, or of a class, that a function stands in."""
    while scope.parent is not None and isinstance(scope.parent.node, Def):
        scope = scope.parent
    return scope
