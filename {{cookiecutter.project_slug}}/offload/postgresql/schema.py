"""A change of a table gives up a lock that it does not get soon."""

from typing import Self

from django.db.backends.postgresql import schema

# Seconds. While a change waits for its lock, every other statement about the table waits behind it,
# also one that only reads. A statement of a request may take 8 s in all.
LOCK_TIMEOUT_SECONDS = 2.0


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Django's own, with a limit for the wait for a lock, in each migration that is a transaction.

    Without it, a transaction that has read the table and lasts, such as `pg_dump`, would keep the
    change waiting, and the change all statements of the service. `guard/management/commands` has
    the `migrate` that tries again.

    A migration with `atomic = False` has no limit: `CREATE INDEX CONCURRENTLY` stands in nobody's
    way, and waits until all older transactions have ended.
    """

    def __enter__(self) -> Self:
        entered: Self = super().__enter__()
        if self.atomic_migration:
            self.execute(f"SET LOCAL lock_timeout = {round(LOCK_TIMEOUT_SECONDS * 1000)}", None)
        return entered
