"""What a project says to Celery: in Django's settings, and in the lines beside its app."""

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from offload_dev.lint.settings.settings_files import CELERY, SettingsFiles, is_served
from offload_dev.lint.source.durations import Names, seconds
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope

APPS = {"celery.Celery", "celery.app.Celery"}
# Settings that the app itself may be given.
OF_APP = {"broker": "broker_url", "backend": "result_backend"}
# The names that Celery had for the same settings before version 4. It still reads them.
OLD_NAMES = {
    "broker_url": "BROKER_URL",
    "broker_transport_options": "BROKER_TRANSPORT_OPTIONS",
    "task_acks_late": "CELERY_ACKS_LATE",
    "task_always_eager": "CELERY_ALWAYS_EAGER",
    "task_compression": "CELERY_MESSAGE_COMPRESSION",
    "task_time_limit": "CELERYD_TASK_TIME_LIMIT",
    "task_soft_time_limit": "CELERYD_TASK_SOFT_TIME_LIMIT",
    "task_ignore_result": "CELERY_IGNORE_RESULT",
    "task_reject_on_worker_lost": "CELERY_REJECT_ON_WORKER_LOST",
}
# After how many seconds a broker delivers a message again by default. Source: the pages of Celery
# about its brokers, "Visibility timeout".
VISIBILITY_TIMEOUT_SECONDS = {"redis": 3600, "valkey": 3600, "sentinel": 3600, "sqs": 1800}


# A task, or a call of one, that may keep its result whatever the settings say.
MAY_KEEP_RESULT = re.compile(r"""ignore_result["'\]]?\s*[=:](?!=)(?!\s*True\b)""", re.IGNORECASE)
# States that a task writes by itself, and tasks of other projects.
WRITES_STATES = re.compile(r"\b(update_state|store_result|mark_as_\w+|send_task)\(")
# What may name a backend of results, and settings that are not in the source.
BACKEND = re.compile(r"result_?backend|config_from_envvar", re.IGNORECASE)
CONFIGURED = re.compile(r"\bconfig_from_object\(\s*([^,)\s]*)")
OF_DJANGO = "django.conf:settings"


class Given(NamedTuple):
    """A value of a setting, and where it stands."""

    value: ast.expr
    scope: CodeScope


class CelerySettings:
    """The settings of Celery, by their names since version 4: `task_acks_late`."""

    def __init__(self, project: Project, settings: SettingsFiles, names: Names) -> None:
        self._project, self._settings, self._names = project, settings, names

    def values(self, name: str) -> list[Given]:
        """All that the project gives to a setting; a later file may overwrite an earlier one."""
        names = (f"{CELERY}{name.upper()}", OLD_NAMES.get(name, ""))
        of_django = [v for each in names for v in self._settings.values(each)]
        return [*(Given(*each) for each in of_django), *self._of_apps.get(name, ())]

    def is_true(self, name: str) -> bool:
        """Whether some line sets a setting to True."""
        return any(getattr(each.value, "value", None) is True for each in self.values(name))

    def seconds(self, name: str) -> int:
        """The seconds that the only value of a setting says; 0 if there are several or none."""
        values = self.values(name)
        return seconds(*values[0], self._names) if len(values) == 1 else 0

    @cached_property
    def is_late_somewhere(self) -> bool:
        """Whether a file names late acknowledgement, also of a single task."""
        return any("acks_late" in module.text.lower() for module in self._project.files)

    @cached_property
    def ignores_results(self) -> bool:
        """Whether all tasks drop their results and states, as far as the files say.

        A setting of tests alone, or below a condition, does not count.
        """
        values = self.values("task_ignore_result")
        return any(map(_is_always_true, values)) and not any(
            MAY_KEEP_RESULT.search(module.text) or WRITES_STATES.search(module.text)
            for module in self._project.files
        )

    @cached_property
    def is_eager(self) -> bool:
        """Whether a call of a task runs it at once, as the only file of settings says."""
        values = self.values("task_always_eager")
        is_only = len(self._settings.modules) == 1
        return is_only and bool(values) and all(map(_is_always_true, values))

    @cached_property
    def has_no_backend(self) -> bool:
        """Whether a project has an app of Celery, and no file names a backend for its results."""
        files = self._project.files
        apps = [
            node
            for module in files
            if "Celery(" in module.text
            for node in own_nodes(module.node)
            if isinstance(node, ast.Call) and self._names.origin(node.func, module) in APPS
        ]
        given = {keyword.arg for app in apps for keyword in app.keywords}
        if not apps or not given.isdisjoint({"backend", "config_source", None}):
            return False
        read = (name for module in files for name in CONFIGURED.findall(module.text))
        is_known = all(name.strip("\"'") == OF_DJANGO for name in read)
        return is_known and not any(BACKEND.search(module.text) for module in files)

    @cached_property
    def visibility_timeout(self) -> int:
        """After how many seconds the broker delivers a message again; 0 if that is not known."""
        brokers = [ast.unparse(each.value).lower() for each in self.values("broker_url")]
        kinds = (kind for kind in VISIBILITY_TIMEOUT_SECONDS if any(kind in b for b in brokers))
        default = next((VISIBILITY_TIMEOUT_SECONDS[kind] for kind in kinds), 0)
        options = self.values("broker_transport_options") if default else []
        match options:
            case []:
                return default
            case [Given(value=ast.Dict(keys=keys, values=values), scope=scope)]:
                names = (getattr(key, "value", "") for key in keys)
                given = dict(zip(names, values, strict=True))
                if "visibility_timeout" in given:
                    return seconds(given["visibility_timeout"], scope, self._names)
                return 0 if "" in given else default
        return 0

    @cached_property
    def _of_apps(self) -> dict[str, list[Given]]:
        """What lines beside an app say: `app.conf.task_acks_late = True`, `app.conf.update(…)`."""
        found: dict[str, list[Given]] = {}
        for module in self._project.files:
            for name, value in self.beside_app(module):
                found.setdefault(name, []).append(Given(value, module))
        return found

    def beside_app(self, module: CodeScope) -> Iterator[tuple[str, ast.expr]]:
        """The names and values that the lines of a file give to an app of Celery."""
        if "celery" not in module.module.text.lower():
            return
        for node in all_nodes(module.node):
            match node:
                case ast.Assign(targets=[target], value=value) if name := _of_conf(target):
                    yield name, value
                case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="conf"), attr="update")):
                    yield from ((each.arg or "", each.value) for each in node.keywords)
                case ast.Call(func=made) if self._names.origin(made, module) in APPS:
                    for each in node.keywords:
                        if each.arg in OF_APP:
                            yield OF_APP[each.arg], each.value


def _is_always_true(given: Given) -> bool:
    """Whether a line of a served file sets a setting to True, and no condition stands above it."""
    module = given.scope.module
    conditions = (node for node in all_nodes(module.node) if isinstance(node, ast.If))
    return (
        getattr(given.value, "value", None) is True
        and is_served(module)
        and not any(given.value in all_nodes(each) for each in conditions)
    )


def _of_conf(target: ast.expr) -> str:
    """`name` of `app.conf.name` and `app.conf["name"]`; empty if this is something else."""
    match target:
        case ast.Attribute(value=ast.Attribute(attr="conf"), attr=name):
            return name
        case ast.Subscript(value=ast.Attribute(attr="conf"), slice=ast.Constant(value=name)):
            return str(name)
    return ""
