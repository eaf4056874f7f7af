"""The names that several rules share, read from `names.toml`."""

import tomllib
from importlib.resources import files
from typing import Any

from offload_dev.lint.source.patterns import Patterns

# importlib.resources also reads the file from inside a zip, for `make lint-zipapp`.
NAMES: dict[str, dict[str, Any]] = tomllib.loads(
    files("offload_dev.lint.source").joinpath("names.toml").read_text(encoding="utf-8")
)


def _patterns(section: str, name: str) -> Patterns:
    return Patterns(*NAMES[section][name])


ORM = {name: frozenset(words) for name, words in NAMES["orm"].items()}
MODEL_BASES = _patterns("orm", "models")
USER_BASES = _patterns("orm", "users")
MANAGER_BASES = _patterns("orm", "manager_classes")
FETCHING = ORM["fetching"] | {f"a{name}" for name in ORM["fetching"]}
# Their first result is a row, the second says whether it is new.
FETCHING_PAIRS = {f"{a}{name}" for a in ("", "a") for name in ("get_or_create", "update_or_create")}
ASYNC_QUERIES = {f"a{name}" for name in ORM["evaluating"]}
ASYNC_QUERIES_ON_ROWS = {f"a{name}" for name in ORM["on_rows"]}
ORM_COROUTINES = _patterns("orm", "coroutines")
MAY_QUERY = _patterns("orm", "may_query")
REDIRECTS = _patterns("orm", "redirects")
RENDERERS = _patterns("orm", "renderers")
ORM_CONSUMERS = _patterns("orm", "consumers")

LOGGING = _patterns("python", "logging")
PROPERTIES = _patterns("python", "properties")
CONTEXT_MANAGERS = _patterns("python", "context_managers")
SIGNALS = _patterns("python", "signals")

TYPES: dict[str, str] = NAMES["types"]
# The classes of requests; REST framework wraps that of Django.
REQUEST = "django.http.HttpRequest"
REST_REQUEST = "rest_framework.request.Request"

TO_THREAD = _patterns("threads", "to_thread")
REQUEST_THREAD = _patterns("threads", "request_thread")
THREAD_POOLS = _patterns("threads", "thread_pools")
PROCESS_POOLS = _patterns("threads", "process_pools")

NEW_TASK = _patterns("loops", "new_task")
SECOND_LOOP = _patterns("loops", "second_loop")
ON_LOOP = _patterns("loops", "on_loop")
MAY_BE_ON_LOOP = _patterns("loops", "may_be_on_loop")
COROUTINES = _patterns("loops", "coroutines")
CONSUMERS = _patterns("loops", "consumers")
LOOP_HOOKS = _patterns("loops", "hooks")
MAY_BE_HOOKS = _patterns("loops", "may_be_hooks")
NINJA_HANDLERS = _patterns("loops", "ninja_handlers")
HOOKS_OF_OLD_NINJA = _patterns("loops", "hooks_of_old_ninja")
CALLBACKS = _patterns("loops", "callbacks")
CALLING_DECORATORS = _patterns("loops", "calling_decorators")

TASK_DECORATORS = _patterns("tasks", "decorators")
TASK_CLASSES = _patterns("tasks", "classes")
CELERY_TASKS = _patterns("tasks", "of_celery")
PUBLISH = frozenset(NAMES["tasks"]["publish"])
TASK_RESULTS = _patterns("tasks", "results")
TASK_OPTIONS: list[str] = NAMES["tasks"]["options"]
TASKS_IN_DATABASE = _patterns("tasks", "in_database")

WAITING_PACKAGES: list[str] = NAMES["imports"]["waiting"]
COMPUTING_PACKAGES: list[str] = NAMES["imports"]["computing"]

# The names of Celery's settings. Celery ignores those that lack their group: `pool_limit` has to be
# `broker_pool_limit`.
_GROUPS: dict[str, list[str]] = NAMES["celery_settings"]
CELERY_SETTINGS = {f"{group}_{name}" for group, names in _GROUPS.items() for name in names}
# Celery still takes these names without their group.
TAKEN_WITHOUT_GROUP = set(NAMES["celery_names"]["without_group"])
WITHOUT_GROUP = {
    name: f"{group}_{name}"
    # Of two groups that know a name, the first one counts.
    for group, names in reversed(_GROUPS.items())
    for name in names
    if name not in TAKEN_WITHOUT_GROUP
}

PROGRAMS = frozenset(NAMES["programs"]["hanging"])
PREFIXES = frozenset(NAMES["programs"]["prefixes"])
LIMITING_OPTIONS = frozenset(NAMES["programs"]["limiting"])
NETWORK_COMMANDS: dict[str, list[str]] = NAMES["programs"]["network"]
