"""Checks of what the jobs' tables need: times with a time zone, a known database, and only one."""

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, register
from django.db import DEFAULT_DB_ALIAS, connections, router

from offload.guard.checks.run_checks import TAG, error

# The databases on which jobs are tested.
VENDORS = ("postgresql", "sqlite")
LABELS = ("offload_jobs", "offload_access")


@register(TAG)
def check_time_zones(**_: object) -> Iterator[CheckMessage]:
    """E717: times that go back by an hour in autumn, and cannot be compared with UTC."""
    if not settings.USE_TZ:
        yield error(
            "E717",
            "USE_TZ is False: no periodic job is submitted, and a submit with run_at fails.",
            "USE_TZ = True. Columns of PostgreSQL need no migration for it.",
        )


@register(TAG)
def check_tables(**_: object) -> Iterator[CheckMessage]:
    """E717: tables in a database of another kind, or in another one than `default`."""
    found = [config.label for config in apps.get_app_configs() if config.label in LABELS]
    if not found:
        return

    vendor = connections[DEFAULT_DB_ALIAS].vendor
    if vendor not in VENDORS:
        yield error(
            "E717",
            f"The database {DEFAULT_DB_ALIAS!r} is of the kind {vendor!r}, on which jobs were never"
            " tried.",
            "PostgreSQL or SQLite.",
        )

    for label in found:
        models = list(apps.get_app_config(label).get_models())
        aliases = {router.db_for_read(model) for model in models}
        aliases |= {router.db_for_write(model) for model in models}
        for alias in sorted(aliases - {DEFAULT_DB_ALIAS}):
            yield error(
                "E717",
                f"DATABASE_ROUTERS send queries of {label} to {alias!r}: transactions and locks of"
                f" jobs are in {DEFAULT_DB_ALIAS!r}, and a replica is late.",
                f"a router that returns {DEFAULT_DB_ALIAS!r} for the app labels"
                f" {' and '.join(LABELS)}.",
            )
