"""Changes a row by one UPDATE whose WHERE holds a fencing token or a state, and reads it."""

from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import F, Q
from django.db.models.expressions import Col
from django.db.models.sql import UpdateQuery

from offload.jobs.models import Job
from offload.jobs.transactions import retry_conflicts


def update_job(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """`fenced_update` that does not end the job, and so concerns no other row.

    It is tried again where PostgreSQL has ended it because of another transaction.

    Returns:
        The job's new row; None where it had moved on.
    """
    return retry_conflicts(lambda: fenced_update(where, job_id, **values))


def fenced_update(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """Change one row if it is still as `where` says, and read it, in one statement.

    Outside of a transaction it is committed by itself: one round trip to PostgreSQL.

    Returns:
        The new row, without `Job.LARGE_FIELDS`; None where the row had moved on and nothing was
        changed.
    """
    return _update_returning(where, job_id, Job.LARGE_FIELDS, **values)


def fenced_claim(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """`fenced_update` with the parameters in the row, for the process that computes."""
    return _update_returning(where, job_id, ("result",), **values)


def _update_returning(
    where: Q, job_id: UUID, left_out: tuple[str, ...], **values: Any
) -> Job | None:
    # The connection itself: behind the proxy `connection`, Django's compiler would look it up some
    # 150 times, which is a tenth of a job's CPU.
    database = connections[DEFAULT_DB_ALIAS]
    # Django 5.2 and 6.1 have no RETURNING for an UPDATE: it is put behind the statement that
    # `QuerySet.update` would run. SQLite knows it since 3.35 (March 2021).
    query: Any = Job.objects.filter(where, pk=job_id).query.chain(UpdateQuery)
    query.add_update_values({"version": F("version") + 1, **values})
    compiler = query.get_compiler(connection=database)
    statement, params = compiler.as_sql()
    returned = _returned(left_out)

    with database.cursor() as cursor:
        cursor.execute(f"{statement} RETURNING {returned.names}", params)
        # To the end, although there is one row: SQLite commits with the last one.
        rows = cursor.fetchall()

    converters = compiler.get_converters(returned.columns)
    for row in compiler.apply_converters(rows, converters):
        return Job.from_db(database.alias, returned.attributes, row)
    return None


class _Returned(NamedTuple):
    """What RETURNING names: as SQL, as columns, and as the model's attributes."""

    names: str
    columns: list[Col]
    attributes: list[str]


@lru_cache
def _returned(left_out: tuple[str, ...]) -> _Returned:
    """All columns but these, in the order of the model, as `from_db` needs them."""
    every: Any = Job._meta.concrete_fields  # noqa: SLF001 - documented (Model _meta API)
    fields = [field for field in every if field.name not in left_out]
    # As in a query: of a foreign key's column the type is that of its target.
    columns = [field.get_col(Job._meta.db_table) for field in fields]  # noqa: SLF001 - the same
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    return _Returned(names, columns, [field.attname for field in fields])
