"""The files of a service that nothing loads: no other file names them, and no command."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from offload_dev.lint.settings.settings_files import is_settings
from offload_dev.lint.source.nodes import all_statements
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module

# Django, Celery and servers load files with these names by themselves.
LOADED = {
    *("__init__", "__main__", "manage", "asgi", "wsgi", "apps", "admin", "models"),
    *("tasks", "celery", "celery_app", "signals", "receivers", "checks", "translation"),
}
LOADED_FOLDERS = {"commands", "templatetags", "models", "admin", "tasks", "signals"}
# A project that looks for its own modules, or for files that it imports, may load any of them.
LOOKS_FOR_MODULES = re.compile(r"\b(iter_modules|walk_packages|autodiscover_modules)\(")
LOOKS_FOR_FILES = re.compile(r"\b(listdir|r?glob|iterdir|scandir|walk)\(")
IMPORTS_BY_NAME = re.compile(r"\b(import_module|import_string|__import__|exec_module|run_path)\(")
# `import_module(f"{app}.views")`: a part of the name is not in the source.
MAKES_NAMES = re.compile(r"\b(import_module|__import__)\(\s*(?![\"'][^\"'%{]*[\"']\s*[,)])")

# Files that somebody starts by hand, to try something.
TRIES = re.compile(r"(^|_)(demo|example|sample|playground|debug|try|benchmark)s?(_|$)")
# The settings name the first file of routes, and each file includes others.
ROUTES, ROOT, PATTERNS = "urls", "ROOT_URLCONF", "urlpatterns"
# `include(f"{app}.urls")`
FINDS_ROUTES = re.compile(r"""[}"']\.urls\b|%s\.urls\b""")
WORD = re.compile(r"\w+")
# Before the name of an import without a folder: `from work import load`.
ALONE = "import "
# Also those that overlap: `shop.api` and `api.views` of `shop.api.views`.
PAIR = re.compile(r"\b(?=(\w+\.\w+)\b)")

# Whether the words of all files, and a file's own, name it.
IsNamed = Callable[[Module, Counter[str], Counter[str]], bool]


class LoadedFiles:
    """Tells which files of a service run.

    Args:
        texts: the sources without their comments, docstrings and exports.
    """

    def __init__(self, project: Project, texts: Mapping[Module, str]) -> None:
        self._project, self._texts = project, texts

    @cached_property
    def unused(self) -> set[Module]:
        """The files that no other file names, but for those that are unused themselves."""
        if any(map(_finds_modules, self._texts.values())):
            return set()
        waiting = [module for module in self._project.files if not _is_loaded(module)]
        return self._unnamed(waiting, self._is_named)

    @cached_property
    def in_doubt(self) -> set[Module]:
        """The files that run only if a file finds them by a part of their name, or by hand."""
        waiting = [
            module
            for module in self._project.files
            if not _is_loaded(module) or TRIES.search(module.path.stem)
        ]
        return self._unnamed(waiting, self._is_named_for_certain)

    def _unnamed(self, waiting: list[Module], is_named: IsNamed) -> set[Module]:
        """The files among these that no file names but those that are unnamed themselves."""
        found: set[Module] = set()
        names = Counter(self._started)
        for each in self._words.values():
            names.update(each)
        grows = True
        while grows:
            new = [m for m in waiting if not is_named(m, names, self._words[m])]
            for module in new:
                names.subtract(self._words[module])
            found.update(new)
            waiting = [module for module in waiting if module not in found]
            grows = bool(new)
        return found

    @cached_property
    def _words(self) -> dict[Module, Counter[str]]:
        return {module: Counter(self._names_in(module)) for module in self._texts}

    @cached_property
    def _started(self) -> list[str]:
        """The names in the commands that start the service: `uvicorn shop.server:app`."""
        texts = self._project.start_files
        return [name for text in texts for name in (*WORD.findall(text), *PAIR.findall(text))]

    def _names_in(self, module: Module) -> Iterator[str]:
        """The words of a file, and the pairs of them that may name a file in its folder."""
        text = self._texts[module]
        yield from WORD.findall(text)
        yield from PAIR.findall(text)
        for node in all_statements(module.node):
            match node:
                case ast.Import(names=imported):
                    yield from (f"{ALONE}{alias.name}" for alias in imported)
                case ast.ImportFrom(module=start, names=imported):
                    yield f"{ALONE}{start}"
                    for alias in imported:
                        # As it is written, and from the root: the folder may be no package.
                        for name in (f"{start}.{alias.name}", module.absolute(node, alias.name)):
                            yield from PAIR.findall(name)

    def _is_named(self, module: Module, names: Counter[str], own: Counter[str]) -> bool:
        """Whether another file may name this one: a file may make the names that it imports."""
        is_made = self._makes_names and names[module.path.stem] > own[module.path.stem]
        return is_made or self._is_named_for_certain(module, names, own)

    def _is_named_for_certain(self, module: Module, names: Counter[str], own: Counter[str]) -> bool:
        """Whether another file names this one, or a command. Of most names the folder counts, too.

        The folder of the project may have any name, and another one may be on the path of imports.
        No import can name a file with a hyphen: `old-tasks.py`.
        """
        stem, folder = module.path.stem, module.path.parent.name
        if (stem == ROUTES or PATTERNS in module.names) and self._finds_routes:
            return True
        if module.path.parent == self._project.root:
            return names[stem] > own[stem]
        return any(names[each] > own[each] for each in (f"{folder}.{stem}", f"{ALONE}{stem}"))

    @cached_property
    def _finds_routes(self) -> bool:
        """Whether a file may include routes whose folder it does not name, or no setting does."""
        texts = self._texts.values()
        return not any(ROOT in each for each in texts) or any(map(FINDS_ROUTES.search, texts))

    @cached_property
    def _makes_names(self) -> bool:
        """Whether a file makes the names of modules that it imports."""
        return any(MAKES_NAMES.search(text) for text in self._texts.values())


def _is_loaded(module: Module) -> bool:
    """Whether somebody loads a file without naming it, or starts it."""
    path = module.path
    starts = PATTERNS not in module.names and any(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Call) for each in module.node.body
    )
    is_of_framework = path.stem in LOADED or path.parent.name in LOADED_FOLDERS
    return is_of_framework or starts or module.is_script or is_settings(module)


def _finds_modules(text: str) -> bool:
    """Whether a file imports modules whose names no file says."""
    if LOOKS_FOR_MODULES.search(text):
        return True
    return bool(LOOKS_FOR_FILES.search(text) and IMPORTS_BY_NAME.search(text))
