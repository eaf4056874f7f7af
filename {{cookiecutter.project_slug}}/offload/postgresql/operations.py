"""Operations of migrations that build an index beside writes; on SQLite they are the usual ones.

Django's own are for PostgreSQL alone: with them neither the tests nor a laptop could use SQLite.
A migration with one of them needs `atomic = False`, and should have no other operation.
"""

from typing import Any, ClassVar

from django.contrib.postgres import operations
from django.db import migrations
from django.db.migrations.operations.base import Operation


class _OnBothDatabases(Operation):
    """The operation below it on PostgreSQL, and `usual` on SQLite."""

    usual: ClassVar[type[Operation]]

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Apply it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, *states)
        else:
            self.usual.database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Undo it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, *states)
        else:
            self.usual.database_backwards(self, app_label, schema_editor, *states)


class AddIndexConcurrently(_OnBothDatabases, operations.AddIndexConcurrently):
    """Add an index, and go on with writes meanwhile."""

    usual = migrations.AddIndex


class RemoveIndexConcurrently(_OnBothDatabases, operations.RemoveIndexConcurrently):
    """Remove an index, and go on with writes meanwhile."""

    usual = migrations.RemoveIndex
