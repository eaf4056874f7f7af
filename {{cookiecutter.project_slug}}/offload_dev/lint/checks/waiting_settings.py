"""Settings that leave a wait without a limit: of mail, of caches, of Celery.

Each says something only together with others: a mail server without `EMAIL_TIMEOUT`.
"""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.requirements_files import requires_below
from offload_dev.lint.settings.settings_files import (
    CELERY,
    assignments,
    is_served,
    is_settings,
    items,
)
from offload_dev.lint.source.tree import Module

# A file that reads or writes the cache, by itself or by its sessions and pages.
USES_CACHE = re.compile(
    r"^[^#\n]*(\bcaches?\s*(\.\w|\[)|cache_page\(|sessions\.backends\.cache)", re.MULTILINE
)
IMPORTS_CACHE = re.compile(r"from django\.core(\.cache)? import|sessions\.backends|cache_page")
THIS_HOST = re.compile(r"""["']?(localhost|127\.0\.0\.1|unix:|.*@?//(localhost|127\.0\.0\.1))""")
SENDS_MAIL = re.compile(r"\b(send_mail|EmailMessage|EmailMultiAlternatives|email_user)\(")
# Their sockets wait for ever without this option. Source: the pages of the packages.
LIMIT_OF_CACHE = {
    "django_redis.cache.RedisCache": "SOCKET_TIMEOUT",
    "django.core.cache.backends.redis.RedisCache": "socket_timeout",
    "django.core.cache.backends.memcached.PyMemcacheCache": "timeout",
}
# Since this version the package waits for 5 seconds at most by default.
LIMITED_REDIS = 8
ANSWERS = "right if this server always answers, or closes the connection"
LOST = re.compile(r"CELERY_(BROKER_|REDIS_)?VISIBILITY_TIMEOUT|BROKER_VISIBILITY_TIMEOUT")


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """What the settings in a module leave without a limit."""
    if is_settings(module):
        yield from _lost_names(module, resolver)
        if is_served(module):
            yield from _mail(module, resolver)
            yield from _caches(module, resolver)


def _mail(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """`EMAIL_HOST` of another host, and no `EMAIL_TIMEOUT` in the whole project."""
    host = module.names.get("EMAIL_HOST") if _is_first("EMAIL_HOST", module, resolver) else None
    files, backends = resolver.project.files, resolver.settings.text("EMAIL_BACKEND")
    if not isinstance(host, ast.expr) or (backends and "smtp" not in backends):
        return
    is_other = not THIS_HOST.match(ast.unparse(host)) and getattr(host, "value", "?") != ""
    is_limited = any("EMAIL_TIMEOUT" in each.text for each in files)
    if is_other and not is_limited and any(SENDS_MAIL.search(each.text) for each in files):
        subject = "`EMAIL_HOST`, for which a mail may wait for ever,"
        yield violation(host, subject, likely=ANSWERS, instead="`EMAIL_TIMEOUT = 10`")


def _is_first(name: str, module: Module, resolver: Resolver) -> bool:
    """Whether no other file that is served sets this name before: one finding is enough."""
    served = (each for _, each in resolver.settings.values(name) if is_served(each))
    return next(served, None) is module


def _caches(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The first cache on another host whose socket waits without a limit."""
    caches = module.names.get("CACHES")
    if not isinstance(caches, ast.Dict) or not _is_first("CACHES", module, resolver):
        return
    is_used = any(
        IMPORTS_CACHE.search(each.text) is not None and USES_CACHE.search(each.text) is not None
        for each in resolver.project.files
    )
    if "timeout" in _locations(caches).lower() or not is_used:
        return
    for cache in caches.values:
        given = items(cache)
        backend = getattr(given.get("BACKEND"), "value", "")
        limit = LIMIT_OF_CACHE.get(backend, "")
        place, options = given.get("LOCATION"), given.get("OPTIONS", ast.Dict([], []))
        if not limit or place is None or not isinstance(options, ast.Dict):
            continue
        if THIS_HOST.match(ast.unparse(place).lstrip("[(")):
            continue
        of_redis = backend.endswith(".RedisCache")
        if of_redis and not requires_below(resolver.project.root, "redis", LIMITED_REDIS):
            continue
        if "" not in items(options) and limit not in items(options):
            subject = f"the cache of {backend.rpartition('.')[2]}, which may wait for ever,"
            advice = f'`"{limit}"` in its `OPTIONS`'
            yield violation(cache, subject, likely=ANSWERS, instead=advice)
            return


def _locations(caches: ast.Dict) -> str:
    """Where the servers of the caches are: an address may say `?socket_timeout=1`."""
    return " ".join(ast.unparse(items(each).get("LOCATION") or each) for each in caches.values)


def _lost_names(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """A timeout that nobody reads: `CELERY_BROKER_VISIBILITY_TIMEOUT`."""
    for name, node in assignments(module):
        if LOST.fullmatch(name) and sum(e.text.count(name) for e in resolver.project.files) == 1:
            advice = f'`{CELERY}BROKER_TRANSPORT_OPTIONS = {{"visibility_timeout": …}}`'
            yield violation(node, f"`{name}`, which nobody reads,", instead=advice)
