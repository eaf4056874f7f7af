"""The functions of a service that nothing runs: no URL, no setting and no other code names them."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

from offload_dev.lint.function import Function
from offload_dev.lint.middleware import ASYNC_CALL, in_sync_mode
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.settings_files import is_settings
from offload_dev.lint.source import SERVICE_FILES, CodeScope, Module, Project

# Django, Celery and servers load files with these names by themselves.
LOADED = {
    *("__init__", "__main__", "manage", "asgi", "wsgi", "urls", "apps", "admin", "models"),
    *("tasks", "celery", "celery_app", "signals", "receivers", "checks", "translation"),
}
LOADED_FOLDERS = {"commands", "templatetags", "models", "admin", "tasks", "signals"}
# A project that looks for its own files may load any of them.
LOOKS_FOR_FILES = re.compile(r"\b(iter_modules|walk_packages|autodiscover_modules|listdir|glob)\(")

# Wrappers of a view, which do not hand it to anybody.
WRAPPERS = Patterns(
    "builtins.{staticmethod,classmethod,property}", "functools.*", "asgiref.sync.*",
    "django.views.decorators.*", "django.contrib.auth.decorators.*",
    "django.contrib.admin.views.decorators.*", "django.db.transaction.*",
    "django.utils.decorators.*", "rest_framework.decorators.*", "adrf.decorators.*",
)  # fmt: skip
# Classes that a URL, a route or a setting names.
NAMED = Patterns(
    "django.views.*", "django.contrib.auth.mixins.*", "rest_framework.views.*",
    "rest_framework.{viewsets,generics,mixins}.*", "adrf.*", "channels.*Consumer",
    "builtins.object", "abc.ABC", "typing.Protocol",
)  # fmt: skip
# Channels calls these methods of a consumer, and those that a message's type names.
CONSUMERS = Patterns("channels.*Consumer")
OF_CONSUMERS = re.compile(r"(web)?socket_\w+|http_\w+|(dis)?connect|receive\w*|(en|de)code_json")
ROWS = Patterns("django.db.models.*")

# A function names itself this often at most.
MAX_OWN_USES = 5
# `getattr(self, f"run_{name}")()`
FINDS_METHODS = re.compile(r"\bgetattr\((self|cls), (?![\"'])")
AWAITS_TOOLS = re.compile(r"\.a(invoke|stream\w*|batch)\(")
DEFINITION = re.compile(r"\b(?:def|class) (\w+)")
WORD = re.compile(r"\w+")
# These name a function, but do not use it. An import under another name does.
COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
# A text that begins in the middle of a line is no docstring.
LONG_TEXT = re.compile(r'(^[ \t]*)?[rRuU]?("""|\'\'\').*?\2', re.MULTILINE | re.DOTALL)
EXPORTS = re.compile(r"^__all__\b[^=\n]*=\s*[\[(][^\])]*[\])]", re.MULTILINE)
IMPORT = re.compile(r"^[ \t]*from\s+[\w.]+\s+import\s+(?:\([^)]*\)|[^\n(]*$)", re.MULTILINE)


class Unused:
    """Finds files, classes and functions that nothing names but what is unused itself.

    A route, a receiver and the like are named by their decorator, and a method that a library's
    class may call is named by that class. A library has no such functions: others call it.
    """

    def __init__(
        self, project: Project, functions: Mapping[CodeScope, Function], resolver: Resolver
    ) -> None:
        self._project, self._functions = project, functions
        self._classes, self._settings = resolver.classes, resolver.settings
        self._texts = {module: _code(module.text) for module in project.files}
        self._uses: Counter[str] = Counter()
        self._inside: dict[CodeScope, Counter[str]] = {}
        for text in self._texts.values():
            self._uses.update(_uses(text))

    @cached_property
    def functions(self) -> set[CodeScope]:
        """The functions that nothing runs."""
        if not any(module.path.name in SERVICE_FILES for module in self._project.files):
            return set()
        found: set[CodeScope] = {*self._modules, *in_sync_mode(self._settings, self._classes)}
        waiting = list(self._candidates())
        grows = True
        while grows:
            uses = self._uses_outside(found)
            new = [scope for scope in waiting if not self._is_named(scope, uses, found)]
            found.update(new)
            waiting = [scope for scope in waiting if scope not in found]
            grows = bool(new)
        return {scope for scope in self._functions if _is_within(scope, found)}

    def _uses_outside(self, found: set[CodeScope]) -> Counter[str]:
        """The words of all code, without that of these scopes."""
        uses = self._uses.copy()
        for scope in found:
            if not _is_within(scope.parent, found):
                uses.subtract(self._below(scope))
        return uses

    @cached_property
    def _modules(self) -> set[Module]:
        """The files that no other file names."""
        texts = self._texts.values()
        if any(LOOKS_FOR_FILES.search(text) for text in texts):
            return set()
        found: set[Module] = set()
        words = {module: Counter(WORD.findall(text)) for module, text in self._texts.items()}
        names = sum(words.values(), Counter())
        waiting = [module for module in self._project.files if not _is_loaded(module)]
        grows = True
        while grows:
            new = [m for m in waiting if names[m.path.stem] <= words[m][m.path.stem]]
            for module in new:
                names.subtract(words[module])
            found.update(new)
            waiting = [module for module in waiting if module not in found]
            grows = bool(new)
        return found

    def _candidates(self) -> Iterator[CodeScope]:
        for scope in self._project.scopes.values():
            if isinstance(scope.node, ast.ClassDef):
                bases = self._classes.lineage(scope.dotted)
                outside = (base for base in bases if self._classes.scope(base) is None)
                is_plain = not scope.node.decorator_list and not self._registers(bases)
                if is_plain and all(map(NAMED.matches, outside)):
                    yield scope
            elif scope in self._functions and not self._is_called_by_others(scope):
                yield scope

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
        function, name = self._functions[scope], scope.label.rpartition(".")[2]
        is_wrapped = all(WRAPPERS.matches(origin) for origin, _ in function.decorators)
        # Django awaits `__acall__` of its own `MiddlewareMixin` only.
        is_special = name.endswith("__") and name != ASYNC_CALL
        if is_special or not (is_wrapped or function.is_task):
            return True
        if scope.owner is None:
            return False
        if name == "_arun" and not self._awaits_tools:
            return False
        if scope.module in self._finding_methods:
            return True
        bases = self._classes.lineage(scope.owner.dotted)
        outside = [base for base in bases if base and self._classes.scope(base) is None]
        if any(map(CONSUMERS.matches, outside)):
            is_typed = any(name.replace("_", ".") in text for text in self._texts.values())
            return is_typed or OF_CONSUMERS.fullmatch(name) is not None
        # A template cannot call an async method.
        return bool(outside) and not (scope.on_loop and all(map(ROWS.matches, outside)))

    @cached_property
    def _awaits_tools(self) -> bool:
        """Whether the agents of LangChain are awaited. Only then it calls `_arun` of a tool."""
        return any(AWAITS_TOOLS.search(text) for text in self._texts.values())

    def _is_named(self, scope: CodeScope, all_uses: Counter[str], found: set[CodeScope]) -> bool:
        """Whether code outside of a scope names it. `all_uses` has no words of what was found."""
        name = scope.label.rpartition(".")[2]
        uses = all_uses[name]
        if not 0 < uses <= MAX_OWN_USES:
            return uses > 0
        inside = (e for e in found if _is_within(e, {scope}) and not _is_within(e.parent, found))
        return uses > self._below(scope)[name] - sum(self._below(each)[name] for each in inside)

    def _below(self, scope: CodeScope) -> Counter[str]:
        """What a scope uses below its first line; a file in all its lines."""
        if scope not in self._inside:
            lines, node = scope.module.lines, scope.node
            if not isinstance(node, ast.Module):
                lines = lines[node.lineno : node.end_lineno]
            self._inside[scope] = _uses(_code("\n".join(lines)))
        return self._inside[scope]


def _is_loaded(module: Module) -> bool:
    """Whether somebody loads a file without naming it, or starts it."""
    path = module.path
    starts = any(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Call) for each in module.node.body
    )
    is_of_framework = path.stem in LOADED or path.parent.name in LOADED_FOLDERS
    return is_of_framework or starts or module.is_script or is_settings(module)


def _is_within(scope: CodeScope | None, found: set[CodeScope]) -> bool:
    """Whether a scope, or one around it, was found."""
    while scope is not None:
        if scope in found:
            return True
        scope = scope.parent
    return False


def _code(text: str) -> str:
    """A source without its comments, docstrings and exports."""
    text = LONG_TEXT.sub(lambda found: found[0] if found[1] is None else "", COMMENT.sub("", text))
    return EXPORTS.sub("", text)


def _uses(text: str) -> Counter[str]:
    """The words of code, without those that only define or import a name."""
    text = IMPORT.sub(lambda found: found[0] if " as " in found[0] else "", text)
    return Counter(WORD.findall(text)) - Counter(DEFINITION.findall(text))
