"""`manage.py migrate`: Django's own, which tries again where other transactions are in the way.

`offload.postgresql.schema` gives up a lock that is not free soon, so that the service goes on. What
a migration has done until then is undone, and the migrations before it are kept.
"""

import time
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

from offload.postgresql.conflicts import is_lock_conflict
from offload.postgresql.schema import LOCK_TIMEOUT_SECONDS

# Together 2.5 minutes: longer than any transaction of the service's own
# (`LONG_STATEMENT_TIMEOUT_SECONDS` of the jobs).
TRIES = 20
# Seconds between two tries, in which the statements that waited are executed.
PAUSE_SECONDS = 6.0
# Of each of the oldest transactions what every user of the database may know.
OLDEST_TRANSACTIONS = """
    SELECT pid, usename, application_name, extract(epoch FROM now() - xact_start)::integer
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start
    LIMIT 3
"""


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate.

        Raises:
            CommandError: other transactions were in the way each time.
        """
        for left in reversed(range(TRIES)):
            try:
                super().handle(*args, **options)
            except OperationalError as error:
                if not is_lock_conflict(error):
                    raise
                reason = self._in_words(str(error).strip(), options["database"])
                if not left:
                    raise CommandError(
                        f"{reason} This migration has changed nothing; those before it are kept. "
                        "Run `migrate` again when these transactions have ended."
                    ) from error
                self.stderr.write(f"{reason} Trying again in {PAUSE_SECONDS:g} s.")
                time.sleep(PAUSE_SECONDS)
            else:
                return

    def _in_words(self, error: str, database: str) -> str:
        with connections[database].cursor() as cursor:
            cursor.execute(OLDEST_TRANSACTIONS)
            oldest = [
                f"pid {pid} of {user or 'unknown'} ({application or 'no name'}), for {seconds} s"
                for pid, user, application, seconds in cursor.fetchall()
            ]
        return (
            f"A lock was not free within {LOCK_TIMEOUT_SECONDS:g} s ({error}). "
            f"The oldest transactions: {'; '.join(oldest) or 'none that this user may see'}."
        )
