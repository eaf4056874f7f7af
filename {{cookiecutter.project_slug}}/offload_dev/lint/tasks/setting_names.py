"""Names of settings that Celery does not read: their group is missing, or their prefix is wrong."""

from collections.abc import Iterator
from difflib import get_close_matches

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.settings.celery_settings import APPS, OLD_NAMES
from offload_dev.lint.settings.settings_files import CELERY, assignments, is_settings
from offload_dev.lint.source.names import CELERY_SETTINGS, TAKEN_WITHOUT_GROUP, WITHOUT_GROUP
from offload_dev.lint.source.project import Project

# They have had the prefix before Celery 4, which still reads them.
OF_CELERY_3 = {
    "CELERY_TASK_SERIALIZER", "CELERY_TASK_PUBLISH_RETRY", "CELERY_TASK_PUBLISH_RETRY_POLICY",
    "CELERY_TASK_RESULT_EXPIRES", "CELERY_WORKER_DIRECT",
}  # fmt: skip
PREFIXES_OF_CELERY_3 = {"CELERYD", "CELERYBEAT", "CELERYEV"}
# How much alike a misspelt name and the right one are.
ALIKE = 0.9
UNREAD = ", which Celery does not read,"
# Options of a command that say the same as a setting.
OPTIONS = {"beat_scheduler": "--scheduler", "worker_concurrency": "--concurrency"}


def of_body(body: Function) -> Iterator[Violation]:
    """Names without their group in the settings, and variables beside the Celery app."""
    module, settings = body.scope.module, body.resolver.settings
    is_app = any(call.origin in APPS for call in body.calls)
    reads_settings = is_settings(module) and settings.reads_namespace
    is_plain = settings.is_without_namespace(module)
    for name, node in assignments(module):
        key = name.removeprefix(CELERY).lower()
        if is_app and name in CELERY_SETTINGS and module.text.count(name) == 1:
            yield violation(node, f"`{name}`{UNREAD}", instead=f"`app.conf.{name} = …`")
        is_ignored = name.startswith(CELERY) and key in WITHOUT_GROUP
        uses = sum(each.text.count(name) for each in settings.files) if is_plain else 0
        if uses == 1 and _has_needless_prefix(name) and not _is_option(key, body.resolver.project):
            yield violation(node, f"`{name}`{UNREAD}", instead=f"`{key}`, without the prefix")
        meant = WITHOUT_GROUP[key] if is_ignored else _meant_by_prefix(name)
        right_names = (f"{CELERY}{meant.upper()}", OLD_NAMES.get(meant, ""))
        is_given = any(map(settings.values, right_names))
        if meant and reads_settings and not is_given and not settings.is_read(name):
            yield violation(node, f"`{name}`{UNREAD}", instead=f"`{CELERY}{meant.upper()}`")
    for key, value in body.resolver.celery.beside_app(module) if is_app else ():
        if meant := WITHOUT_GROUP.get(key, "") or _meant(key):
            yield violation(value, f"`{key}`{UNREAD}", instead=f"`app.conf.{meant} = …`")


def _meant_by_prefix(name: str) -> str:
    """The setting that a name with the prefix of Celery, or with one like it, stands for."""
    if name.startswith(CELERY):
        return _meant(name.removeprefix(CELERY).lower())
    prefix, _, key = name.partition("_")
    is_prefix = prefix not in PREFIXES_OF_CELERY_3 and get_close_matches(prefix, ["CELERY"], 1, 0.8)
    return key.lower() if is_prefix and key.lower() in CELERY_SETTINGS else ""


def _meant(name: str) -> str:
    """The setting that a misspelt name looks like; empty if there is none."""
    known = CELERY_SETTINGS | TAKEN_WITHOUT_GROUP
    is_known = name in known or f"{CELERY}{name.upper()}" in OF_CELERY_3
    alike = [] if is_known else get_close_matches(name, CELERY_SETTINGS, 1, ALIKE)
    return alike[0] if alike else ""


def _has_needless_prefix(name: str) -> bool:
    """Whether a name has the prefix of a namespace, and is no name of Celery 3 either."""
    key = name.removeprefix(CELERY)
    is_of_group = key.startswith(("TASK_", "WORKER_", "BROKER_", "BEAT_"))
    return name.startswith(CELERY) and is_of_group and name not in OF_CELERY_3


def _is_option(key: str, project: Project) -> bool:
    """Whether a command gives Celery what a setting says: `celery worker --scheduler=…`."""
    option = OPTIONS.get(key)
    return option is not None and any(option in text for text in project.start_files)
