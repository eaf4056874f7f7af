"""Operations of migrations that build an index beside writes; on SQLite they are the usual ones.

Django's own are for PostgreSQL alone: with them neither the tests nor a laptop could use SQLite.
A migration with one of them needs `atomic = False`, and should have no other operation.
"""

from typing import Any

from django.contrib.postgres import operations
from django.db import migrations


class AddIndexConcurrently(operations.AddIndexConcurrently):
    """Add an index, and go on with writes meanwhile."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Build it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, *states)
        else:
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Remove it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, *states)
        else:
            migrations.AddIndex.database_backwards(self, app_label, schema_editor, *states)


class RemoveIndexConcurrently(operations.RemoveIndexConcurrently):
    """Remove an index, and go on with writes meanwhile."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Remove it."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, *states)
        else:
            migrations.RemoveIndex.database_forwards(self, app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        """Build it again."""
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, *states)
        else:
            migrations.RemoveIndex.database_backwards(self, app_label, schema_editor, *states)
