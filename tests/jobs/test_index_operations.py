"""The operations of migrations that build an index beside writes, on both databases."""

from typing import Any

from django.db import connection, migrations, models
from django.db.migrations.state import ModelState, ProjectState

from .conftest import Lab

NAME = "lab_group_of_names"


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, "auth_group"))


def run(operation: Any, backwards: bool = False) -> None:
    """Apply an operation of a migration with `atomic = False`, or undo it."""
    from django.contrib.auth.models import Group

    index = models.Index(fields=["name"], name=NAME)
    before = ProjectState()
    group = ModelState.from_model(Group)
    removes = isinstance(operation, migrations.RemoveIndex)
    group.options["indexes"] = [index] if removes else []
    group.fields.pop("permissions")
    before.add_model(group)
    after = before.clone()
    operation.state_forwards("auth", after)

    with connection.schema_editor(atomic=False) as editor:
        if backwards:
            operation.database_backwards("auth", editor, after, before)
        else:
            operation.database_forwards("auth", editor, before, after)


def test_an_index_is_built_and_removed_beside_writes(lab: Lab) -> None:
    from offload.postgresql.operations import AddIndexConcurrently, RemoveIndexConcurrently

    index = models.Index(fields=["name"], name=NAME)
    add, remove = AddIndexConcurrently("group", index), RemoveIndexConcurrently("group", NAME)
    steps = [(add, False, True), (remove, False, False), (remove, True, True), (add, True, False)]
    for operation, backwards, there in steps:
        run(operation, backwards)
        assert (NAME in indexes()) == there, (operation, backwards)
