"""The functions of a service that nothing runs: no URL, no setting and no other code names them."""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise

from offload_dev.lint.calls.code_text import code_of
from offload_dev.lint.calls.mentions import WORD, Mention
from offload_dev.lint.calls.messages import Messages
from offload_dev.lint.calls.uses import Uses
from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.models import is_abstract_model
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.loaded_files import LoadedFiles
from offload_dev.lint.settings.middleware import ASYNC_CALL, in_sync_mode
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope, Module

# Wrappers of a view, which do not hand it to anybody.
WRAPPERS = Patterns(
    "builtins.{staticmethod,classmethod,property}", "functools.*", "asgiref.sync.*",
    "django.views.decorators.*", "django.contrib.auth.decorators.*",
    "django.contrib.admin.views.decorators.*", "django.db.transaction.*",
    "django.utils.decorators.*", "rest_framework.decorators.*", "adrf.decorators.*",
    "drf_spectacular.utils.*", "drf_yasg.utils.*", "dataclasses.*",
)  # fmt: skip
# Classes that a URL, a route or a setting names.
NAMED = Patterns(
    "django.views.*", "django.contrib.auth.mixins.*", "rest_framework.views.*",
    "rest_framework.{viewsets,generics,mixins,serializers}.*", "adrf.*", "channels.*Consumer",
    "builtins.object", "abc.ABC", "typing.Protocol",
)  # fmt: skip
# Bases that call no method of their heirs.
QUIET = Patterns("builtins.*", "abc.ABC", "typing.*")
# Many objects have methods of these names, also those that no source tells.
COMMON = {
    *("add", "close", "create", "delete", "execute", "get", "handle", "load", "post", "process"),
    *("publish", "read", "run", "save", "search", "send", "set", "start", "stop", "update"),
}
# Private methods that LangChain and the like call.
HOOKS = re.compile(r"_a?(run|call|generate|stream|invoke|get_relevant_documents)\w*")
# Their classes are found by their place, by a registry, or by a text.
FRAMEWORKS = Patterns(
    "{django*,rest_framework*,celery,channels,ninja*,wagtail,strawberry*,graphene*}.*",
    "{import_export,pydantic,enum,sqlalchemy,factory,scrapy,typing}.*",
)  # fmt: skip
TELLS_COROUTINES = "iscoroutinefunction("
# Their hooks are plain methods, but for this one of a manager.
ROWS = Patterns("django.db.models.*", "django.contrib.auth.{models,base_user}.*")
ASYNC_HOOK = "aget_by_natural_key"
MANAGERS = Patterns("django.db.models.{,manager.}{Manager,BaseManager}")

# `getattr(self, f"run_{name}")()`
FINDS_METHODS = re.compile(r"\bgetattr\((self|cls), (?![\"'])")
AWAITS_TOOLS = re.compile(r"\.a(invoke|stream\w*|batch)\(")


class Unused:
    """Finds files, classes and functions that nothing names but what is unused itself.

    A route, a receiver and the like are named by their decorator, and a method that a library's
    class may call is named by that class. A library has no such functions: others call it.
    """

    def __init__(
        self,
        project: Project,
        functions: Mapping[CodeScope, Function],
        resolver: Resolver,
        mentions: Mapping[str, list[Mention]],
    ) -> None:
        self._project, self._functions = project, functions
        self._resolver = resolver
        self._classes, self._settings = resolver.classes, resolver.settings
        self._uses = Uses(resolver)
        self._texts = {module: code_of(module.text) for module in project.files}
        self._messages = Messages(functions, self._classes, self._texts)
        self._loaded = LoadedFiles(project, self._texts)
        self._outside_classes: dict[CodeScope, list[str]] = {}
        self._mentions_in: dict[CodeScope, list[tuple[str, Mention]]] = defaultdict(list)
        for name, found in mentions.items():
            for mention in found:
                self._mentions_in[mention.scope].append((name, mention))
        self._scopes_below: dict[CodeScope | None, list[CodeScope]] = defaultdict(list)
        for scope in project.scopes.values():
            self._scopes_below[scope.parent].append(scope)

    @cached_property
    def functions(self) -> set[CodeScope]:
        """The functions that nothing runs."""
        if not self._project.is_service:
            return set()
        candidates = list(self._candidates())
        return set(self._functions) - self._run_from(self._loaded.unused, candidates, self._may_use)

    @cached_property
    def in_doubt(self) -> set[CodeScope]:
        """The functions that nothing runs for certain. Three cases:

        1. Their file, or what names them, is only loaded if a file finds others by their names.
        2. An object that nothing tells would have to be theirs.
        3. A library would have to find their class, or to call their private method.
        """
        if not self._project.is_service:
            return set()
        candidates = [*self._candidates(), *self._unnamed_by_libraries()]
        sure = self._run_from(self._loaded.in_doubt, candidates, self.does_use)
        return set(self._functions) - self.functions - sure

    def does_use(self, mention: Mention, scope: CodeScope) -> bool:
        """Whether a mention stands for a function for certain. Three cases:

        1. A text names it with its module or class, or a file that finds its own functions by text.
        2. An attribute has a name that only one function has, or an object that is known.
        3. A plain name.
        """
        if not self._may_use(mention, scope):
            return False
        match mention.node:
            case ast.Constant(value=text) if not self._messages.has_consumer(scope):
                is_own = not mention.is_path and scope.module is mention.scope.module
                *_, holder, name = scope.dotted.split(".")
                return is_own or (holder, name) in pairwise(WORD.findall(str(text)))
            case ast.Attribute():
                name = scope.bare_name
                is_rare = len(self._by_name[name]) == 1 and name not in COMMON
                return is_rare or self._uses.names_for_certain(mention, scope)
        return True

    def used_by(self, scope: CodeScope) -> set[CodeScope]:
        """The functions that a function names for certain."""
        return {
            each
            for name, mention in self._mentions_in.get(scope, ())
            for each in self._by_name.get(name, ())
            if self.does_use(mention, each)
        }

    @cached_property
    def _by_name(self) -> dict[str, list[CodeScope]]:
        found: dict[str, list[CodeScope]] = defaultdict(list)
        for scope in self._functions:
            found[scope.bare_name].append(scope)
        return found

    def _run_from(
        self,
        unused: set[Module],
        candidates: Iterable[CodeScope],
        uses: Callable[[Mention, CodeScope], bool],
    ) -> set[CodeScope]:
        """What the modules of a service run, and what that names, and so on.

        Args:
            candidates: what runs only if something names it.
            uses: whether a mention of its name stands for a function.
        """
        idle: dict[str, set[CodeScope]] = defaultdict(set)
        for scope in candidates:
            idle[scope.bare_name].add(scope)
        is_idle = {scope for scopes in idle.values() for scope in scopes}
        closed = {*unused, *in_sync_mode(self._settings, self._classes), *self._without_table}
        closed |= set(self._async_halves)
        run: set[CodeScope] = set()
        waiting: list[CodeScope] = list(self._project.files)
        while waiting:
            scope = waiting.pop()
            is_inside = scope.parent is None or scope.parent in run
            if scope in run or scope in closed or scope in is_idle or not is_inside:
                continue
            run.add(scope)
            waiting += self._scopes_below.get(scope, ())
            for name, mention in self._mentions_in.get(scope, ()):
                woken = {each for each in idle[name] if uses(mention, each)}
                idle[name] -= woken
                is_idle -= woken
                waiting += woken
        return run

    @property
    def _without_table(self) -> Iterator[CodeScope]:
        """The abstract models from which no other one inherits, and the managers of these alone."""
        classes = self._project.classes.values()
        idle = [s for s in classes if is_abstract_model(s) and not self._classes.heirs(s.dotted)]
        yield from idle
        for scope in classes if idle else ():
            is_manager = self._classes.is_a(scope.dotted, MANAGERS)
            if is_manager and self._is_named_only_in(scope, idle):
                yield scope

    @property
    def _async_halves(self) -> Iterator[CodeScope]:
        """The async wrappers of decorators with two wrappers, whose functions are all plain."""
        decorated: dict[CodeScope, list[CodeScope]] = defaultdict(list)
        for scope, function in self._functions.items():
            named = (self._resolver.function(origin) for origin, _ in function.decorators)
            for each in filter(None, named):
                decorated[each].append(scope)
        for decorator, scopes in decorated.items():
            has_two = TELLS_COROUTINES in decorator.text_of_lines
            if has_two and not any(scope.on_loop for scope in scopes):
                yield from (each for each in self._below(decorator) if each.on_loop)

    def _below(self, scope: CodeScope) -> Iterator[CodeScope]:
        for each in self._scopes_below.get(scope, ()):
            yield each
            yield from self._below(each)

    def _is_named_only_in(self, scope: CodeScope, places: list[CodeScope]) -> bool:
        name = re.compile(rf"\b{scope.bare_name}\b")
        inside = sum(len(name.findall(ast.unparse(place.node))) for place in places)
        texts = (text for text in self._texts.values() if scope.bare_name in text)
        # Its own line has the name, too.
        return sum(len(name.findall(text)) for text in texts) == inside + 1

    def _may_use(self, mention: Mention, scope: CodeScope) -> bool:
        """Whether a mention may run a function. A message to a browser runs none of a consumer."""
        node = mention.node
        is_text = mention.is_path and isinstance(node, ast.Constant)
        if is_text and self._messages.has_consumer(scope):
            return self._messages.may_run(scope, node)
        return self._uses.may_name(mention, scope)

    def _unnamed_by_libraries(self) -> Iterator[CodeScope]:
        """The classes and private methods that libraries run only by a convention of their own."""
        for scope in self._project.scopes.values():
            if isinstance(scope.node, ast.ClassDef):
                bases = self._outside(scope)
                if (
                    bases
                    and self._is_undecorated(scope)
                    and not any(map(FRAMEWORKS.matches, bases))
                ):
                    yield scope
            elif scope in self._functions and scope.owner is not None:
                is_hook = HOOKS.fullmatch(scope.bare_name) is not None
                if scope.is_private and not is_hook and self._is_undecorated(scope):
                    yield scope

    def _candidates(self) -> Iterator[CodeScope]:
        for scope in self._project.scopes.values():
            if isinstance(scope.node, ast.ClassDef):
                bases = self._classes.lineage(scope.dotted)
                outside = (base for base in bases if self._classes.scope(base) is None)
                if self._is_undecorated(scope) and not self._registers(bases):
                    yield from [scope] if all(map(NAMED.matches, outside)) else []
            elif scope in self._functions and not self._is_called_by_others(scope):
                yield scope

    def _is_undecorated(self, scope: CodeScope) -> bool:
        """Whether no decorator hands a class to somebody."""
        decorators = getattr(scope.node, "decorator_list", ())
        made = (each.func if isinstance(each, ast.Call) else each for each in decorators)
        origins = (self._resolver.origin(each, scope.parent or scope) for each in made)
        return all(map(WRAPPERS.matches, origins))

    @cached_property
    def _finding_methods(self) -> set[Module]:
        """The files that find methods by a part of their name."""
        return {module for module in self._project.files if FINDS_METHODS.search(module.text)}

    def _registers(self, bases: list[str]) -> bool:
        """Whether a class makes itself known: by a hook of its base, or by a metaclass."""
        scopes = filter(None, map(self._classes.scope, bases))
        return any(
            "__init_subclass__" in each.names or getattr(each.node, "keywords", ())
            for each in scopes
        )

    def _is_called_by_others(self, scope: CodeScope) -> bool:
        function, name = self._functions[scope], scope.bare_name
        is_wrapped = all(WRAPPERS.matches(origin) for origin, _ in function.decorators)
        # Django awaits `__acall__` of its own `MiddlewareMixin` only.
        is_special = name.endswith("__") and name != ASYNC_CALL
        if is_special or not (is_wrapped or function.is_task) or _has_own_name(scope):
            return True
        if scope.owner is None:
            return False
        if name == "_arun" and not self._awaits_tools:
            return False
        if scope.module in self._finding_methods:
            return True
        outside = self._outside(scope.owner)
        if self._messages.has_consumer(scope):
            return self._messages.is_handler(scope)
        # A template cannot call an async method.
        is_own = scope.on_loop and name != ASYNC_HOOK and all(map(ROWS.matches, outside))
        return bool(outside) and not is_own

    def _outside(self, owner: CodeScope) -> list[str]:
        """The classes of libraries that may call the methods of a class, or of a mixin's heirs."""
        if owner not in self._outside_classes:
            classes = self._classes
            heirs = classes.heirs(owner.dotted)
            is_dead = not heirs and is_abstract_model(owner)
            bases = {base for each in (owner, *heirs) for base in classes.lineage(each.dotted)}
            outside = (base for base in bases if classes.scope(base) is None)
            found = [] if is_dead else [base for base in outside if not QUIET.matches(base)]
            self._outside_classes[owner] = found
        return self._outside_classes[owner]

    @cached_property
    def _awaits_tools(self) -> bool:
        """Whether the agents of LangChain are awaited. Only then it calls `_arun` of a tool."""
        return any(AWAITS_TOOLS.search(text) for text in self._texts.values())


def _has_own_name(scope: CodeScope) -> bool:
    """Whether a decorator gives a task a name, by which others publish it: `@task(name="run")`."""
    decorators = scope.node.decorator_list if isinstance(scope.node, Def) else ()
    calls = (each for each in decorators if isinstance(each, ast.Call))
    return any(keyword.arg == "name" for call in calls for keyword in call.keywords)
