"""The settings of a project as its source gives them."""

import ast
import itertools
import re
from collections.abc import Iterator
from functools import cached_property

from offload_dev.lint.settings.requirements_files import names_below, requirements
from offload_dev.lint.settings.servers import (
    ASYNC,
    runs_development_server,
    runs_plain_server,
    serves_http_by_wsgi,
)
from offload_dev.lint.source.nodes import all_nodes, own_statements
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module

CELERY = "CELERY_"
# Parts of settings, and those of an environment that may be named outside of the repository.
USUAL_NAMES = re.compile(
    r"^(__init__|base|common|defaults?|settings|main|prod|production|stag(e|ing)|local|dev|develop"
    r"|development|docker|heroku|ci|qa|tests?|testing)$"
)
# Files for the machine of a developer, or put aside.
NOT_SERVED = re.compile(r"local|dev|test|example|sample|docker|_(backup|bak|copy|old)$|^ci$")
# Texts that turn a setting off.
OFF = {"false", "0", "no", "off"}
ATOMIC_REQUESTS = re.compile(r"""^[^#\n]*["']ATOMIC_REQUESTS["']\]?\s*[:=]\s*True""", re.MULTILINE)


class SettingsFiles:
    """All files of settings together. A later file may overwrite what an earlier one says."""

    def __init__(self, project: Project) -> None:
        self._project, self.files = project, project.files
        self._values: dict[str, list[tuple[ast.expr, Module]]] = {}

    @cached_property
    def modules(self) -> list[Module]:
        """The files: `settings.py`, those of a folder `settings`, and what looks like one."""
        found = [module for module in self._project.files if is_settings(module)]
        return [module for module in found if len(found) == 1 or self._may_be_loaded(module)]

    def _may_be_loaded(self, module: Module) -> bool:
        """Whether a host may name this file, as `production.py`, or another file names it."""
        stem = module.path.stem
        if module.path.parent.name != "settings" or USUAL_NAMES.search(stem):
            return True
        named = re.compile(rf"\b{re.escape(stem)}\b")
        others = (each.text for each in self._project.files if each is not module)
        texts = itertools.chain(others, self._project.start_files)
        return any(stem in text and named.search(text) for text in texts)

    def values(self, name: str) -> list[tuple[ast.expr, Module]]:
        """What the files give to a setting, each with its file."""
        if name not in self._values:
            found = ((module.names.get(name), module) for module in self.modules)
            self._values[name] = [(v, module) for v, module in found if isinstance(v, ast.expr)]
        return self._values[name]

    def is_true(self, name: str) -> bool:
        """Whether some file sets a setting to True."""
        values = (value for value, _ in self.values(name))
        return any(isinstance(value, ast.Constant) and value.value is True for value in values)

    def is_unknown(self, name: str) -> bool:
        """Whether the project has settings, and none of their files names this one."""
        return bool(self.modules) and not any(name in module.text for module in self.modules)

    def is_turned_off(self, name: str) -> bool:
        """Whether all files turn a setting off, unless the environment turns it on."""
        values = self.values(name)
        return bool(values) and all(_is_off(value) for value, _ in values)

    @cached_property
    def has_no_caches(self) -> bool:
        """Whether a service names no caches, so that Django keeps its only one in the process.

        What settings inherit from a library is not known.
        """
        inherited = (name for module in self.modules for name in module.stars)
        return (
            any({"INSTALLED_APPS", "DATABASES"} <= set(module.names) for module in self.modules)
            and not any("CACHES" in module.text for module in self._project.files)
            and all(name in self._project.modules for name in inherited)
        )

    def text(self, name: str) -> str:
        """The source of what the files give to a setting."""
        return " ".join(ast.unparse(value) for value, _ in self.values(name))

    @cached_property
    def runs_under_asgi(self) -> bool:
        """Whether an async server may run this project, as far as its files say."""
        if runs_plain_server(self._project):
            return False
        has_asgi = any(module.path.name == "asgi.py" for module in self._project.files)
        is_async = any(scope.on_loop for scope in self._project.functions)
        return bool(self.values("ASGI_APPLICATION")) or (has_asgi and is_async)

    @cached_property
    def has_atomic_requests(self) -> bool:
        """Whether each request of a sync view is a transaction."""
        return any(ATOMIC_REQUESTS.search(module.text) is not None for module in self.modules)

    @cached_property
    def uses_pickle(self) -> bool:
        """Whether a file has a serializer that writes more than JSON can."""
        return any("pickle" in m.text and "serializer" in m.text.lower() for m in self.files)

    @cached_property
    def runs_under_wsgi(self) -> bool:
        """Whether a plain server runs the sync views of this project, as far as its files say."""
        if self.starts_plain_server or serves_http_by_wsgi(self._project):
            return True
        names = {module.path.name for module in self._project.files}
        has_asgi = "asgi.py" in names or bool(self.values("ASGI_APPLICATION"))
        return "wsgi.py" in names and not has_asgi

    @cached_property
    def starts_plain_server(self) -> bool:
        """Whether the files that start this project name a WSGI server alone."""
        return runs_plain_server(self._project) or self._runs_development_server

    @cached_property
    def _runs_development_server(self) -> bool:
        """Whether Django's own server runs this project, and no package makes an ASGI server of it.

        Those of Channels did so before its version 4, and daphne does.
        """
        root = self._project.root
        if not runs_development_server(self._project) or names_below(root, "channels", 4):
            return False
        return not any(map(ASYNC.search, (*requirements(root), self.text("INSTALLED_APPS"))))

    @cached_property
    def names_no_async_server(self) -> bool:
        """Whether a project names its WSGI application, its packages, and no async server.

        Django runs each async view in an event loop of its own then. Channels needs such a server.
        """
        packages = requirements(self._project.root)
        if not packages or not self.values("WSGI_APPLICATION") or self.values("ASGI_APPLICATION"):
            return False
        return not any(map(ASYNC.search, (*packages, *self._project.start_files)))

    @cached_property
    def reads_namespace(self) -> bool:
        """Whether Celery reads the settings that begin with `CELERY_`."""
        return any(
            "config_from_object" in module.text and '"CELERY"' in module.text.replace("'", '"')
            for module in self._project.files
        )

    def is_without_namespace(self, module: Module) -> bool:
        """Whether Celery reads the names of a file as they are, without a prefix."""
        if self._names_namespace:
            return False
        is_read = False
        for each in self._project.files if "CELERY_" in module.text else ():
            for node in all_nodes(each.node) if "config_from_object" in each.text else ():
                match node:
                    case ast.Call(func=ast.Attribute(attr="config_from_object"), args=[given]):
                        named = str(getattr(given, "value", ""))
                        names_file = bool(named) and module.dotted.endswith(named)
                        of_django = named == "django.conf:settings" and is_settings(module)
                        if (names_file or of_django) and node.keywords:
                            return False
                        is_read |= names_file or of_django
        return is_read

    @cached_property
    def _names_namespace(self) -> bool:
        """Whether an app is made with a namespace: `Celery("shop", namespace="CELERY")`."""
        calls = (
            node
            for module in self._project.files
            if "namespace" in module.text and "Celery(" in module.text
            for node in all_nodes(module.node)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Celery")
        )
        return any(keyword.arg == "namespace" for call in calls for keyword in call.keywords)

    def is_read(self, name: str) -> bool:
        """Whether the project itself uses a setting."""
        uses = sum(module.text.count(name) for module in self._project.files)
        return uses > len(self.values(name))


def _is_off(value: ast.expr) -> bool:
    """Whether this is off: `False`, `env.bool("SEARCH", default=False)`, `os.getenv("X") == "1"`.

    The environment may turn it on.
    """
    match value:
        case ast.Constant(value=off):
            return not off or str(off).lower() in OFF
        case ast.Compare(left=left, ops=[ast.Eq() | ast.In()]):
            return _is_off(left)
        case ast.Call(func=ast.Attribute(value=ast.Call() as held, attr="lower" | "strip")):
            return _is_off(held)
        case ast.Call(func=ast.Name(id="bool" | "int" | "str"), args=[held]):
            return _is_off(held)
        case ast.Call(args=[_, default]):
            return _is_off(default)
        case ast.Call(keywords=keywords):
            return any(each.arg == "default" and _is_off(each.value) for each in keywords)
    return False


def is_settings(module: Module) -> bool:
    """Whether a file has Django's settings."""
    path = module.path
    is_named = path.stem == "settings" or path.parent.name == "settings"
    return is_named or {"INSTALLED_APPS", "DATABASES"} <= set(module.names)


def is_served(module: Module) -> bool:
    """Whether a service may run with this file, as its name says."""
    return not NOT_SERVED.search(module.path.stem)


def assignments(module: Module) -> Iterator[tuple[str, ast.stmt]]:
    """The names that a module assigns to, and the statements."""
    for node in own_statements(module.node):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())
            ):
                yield name, node


def items(node: ast.expr | str | None) -> dict[str, ast.expr]:
    """The items of a dictionary, by their keys as texts; `**more` under the empty text."""
    match node:
        case ast.Dict(keys=keys, values=values):
            names = (str(getattr(key, "value", "")) for key in keys)
            return dict(zip(names, values, strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return {each.arg or "": each.value for each in keywords}
    return {}
