"""What migrations of the standard may do, so that the version before goes on meanwhile."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from .conftest import Lab

# The last migration that renamed or deleted a column: docs/production.md names it.
LAST_BREAKING = {"offload.jobs": "0007", "offload.access": "0000"}


def operations() -> Iterator[tuple[str, Any]]:
    """The operations of the later migrations, each with its migration's name."""
    for package, last in LAST_BREAKING.items():
        folder = importlib.import_module(f"{package}.migrations")
        for module in pkgutil.iter_modules(folder.__path__):
            if module.name[:4] > last:
                found = importlib.import_module(f"{package}.migrations.{module.name}")
                yield from ((module.name, each) for each in found.Migration.operations)


def test_the_version_before_goes_on_with_the_new_tables(lab: Lab) -> None:
    from django.db import migrations

    taken_away = (
        *(migrations.RemoveField, migrations.RenameField),
        *(migrations.DeleteModel, migrations.RenameModel, migrations.AlterModelTable),
    )
    every = list(operations())
    assert len(every) > 10
    assert not [(name, each) for name, each in every if isinstance(each, taken_away)]
    # The version before does not know the column, and its INSERT does not name it.
    added = [(name, each) for name, each in every if isinstance(each, migrations.AddField)]
    assert added
    assert not [
        (name, each.name)
        for name, each in added
        if not (each.field.null or each.field.has_db_default())
    ]
