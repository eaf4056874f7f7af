"""procrastinate, with its defaults."""

import os

import procrastinate

from jobs_apps.work import note

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PEERS_DB"]))
opened = app.open


@app.task(name="note")
def write_note(path: str) -> None:
    """The job."""
    note(path)


def submit(path: str) -> None:
    """One job."""
    write_note.defer(path=path)
