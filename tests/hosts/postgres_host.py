"""PostgreSQL on a host of its own: it is stopped, backed up and restored."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from host_network import SUBNET, Host

PORT = 5432
# PostgreSQL refuses to run as root. Unlike `runuser` this becomes the server itself, which then
# gets the signals.
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
RESTORE_POINT = "before_the_accident"


class PostgresHost:
    """A server whose log of changes (WAL) is archived, as a restore to a moment needs it.

    Args:
        programs: the folder of PostgreSQL's programs.
        log: where the server writes its log.
    """

    def __init__(self, host: Host, programs: Path, log: Path) -> None:
        self.host = host
        self.programs = programs
        self.log = log
        made = subprocess.check_output(
            [*AS_POSTGRES, "mktemp", "-d", "-p", "/tmp"], text=True, cwd="/"
        )
        self.folder = Path(made.strip())
        self.url = f"postgres://lab@{host.address}:{PORT}/postgres"
        self.process: subprocess.Popen[bytes]
        self._run("mkdir", "archive")
        self._run(programs / "initdb", "-D", "data", "-U", "lab", "--auth=trust", "--no-sync")
        with (self.folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all,replication all {SUBNET}.0/24 trust\n")

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            [*AS_POSTGRES, *map(str, command)], cwd=self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start the server; `answers` says when it is there."""
        options = {
            "listen_addresses": self.host.address,
            "unix_socket_directories": self.folder,
            # The machine does not crash, only its processes.
            "fsync": "off",
            "archive_mode": "on",
            "archive_command": f"cp %p {self.folder}/archive/%f",
        }
        arguments = [part for each in options.items() for part in ("-c", "{}={}".format(*each))]
        command = [*AS_POSTGRES, str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        with self.log.open("ab") as log:
            self.process = self.host.start([*command, *arguments], log, dict(os.environ), cwd="/")

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """End the server at once, with its connections. SIGQUIT is as a crash."""
        self.process.send_signal(number)
        self.process.wait(60)

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query, on a connection of its own."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=30) as connection:
            asked = connection.execute(query, parameters)  # type: ignore[call-overload]
            return list(asked.fetchall()) if asked.description else []

    def answers(self) -> bool:
        """Whether it takes connections, and writes."""
        with suppress(psycopg.OperationalError):
            return self.ask("SELECT pg_is_in_recovery()") == [(False,)]
        return False

    def back_up(self) -> None:
        """Copy the database while it is used: the base of a restore."""
        address = ("-h", self.host.address, "-p", str(PORT), "-U", "lab")
        # The switch is in the tests' network, and so is this command.
        self._run(self.programs / "pg_basebackup", *address, "-D", "base", "--checkpoint=fast")

    def mark(self) -> None:
        """Name this moment, to which `restore` goes back."""
        self.ask(f"SELECT pg_create_restore_point('{RESTORE_POINT}')")

    def restore(self) -> None:
        """Replace the database by the backup, and go on to the moment that was named."""
        # The last changes are archived, too.
        self.ask("SELECT pg_switch_wal()")
        self.stop(signal.SIGINT)
        self._run("mv", "data", "lost")
        self._run("mv", "base", "data")
        with (self.folder / "data" / "postgresql.auto.conf").open("a") as file:
            file.write(
                f"restore_command = 'cp {self.folder}/archive/%f %p'\n"
                f"recovery_target_name = '{RESTORE_POINT}'\n"
                "recovery_target_action = 'promote'\n"
            )
        self._run("touch", "data/recovery.signal")
        self.start()

    def remove(self) -> None:
        """Delete its files, after its host was killed."""
        shutil.rmtree(self.folder, ignore_errors=True)
