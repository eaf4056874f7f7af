"""The lab's rows. A group of Django's own is the row: its name is unique."""

import os
import time
from pathlib import Path

from django.contrib.auth.models import Group, Permission
from django.db import OperationalError, connection

from offload.jobs import JobError


def save_group(name: str, way: str, log: str) -> None:
    """Save a row, and then end in one of several ways."""
    with Path(log).open("a") as file:
        file.write(f"save {os.getpid()}\n")
    group = Group.objects.create(name=name)
    match way:
        case "for its owner":
            raise JobError("the station is closed")
        case "worth another attempt":
            raise ConnectionError("the other side is away")
        case "for ever":
            time.sleep(600)
        case "deferred":
            # Foreign keys are checked at the COMMIT.
            group.permissions.through.objects.create(group=group, permission=Permission(pk=-1))
        case "outage":
            # Four times the connection was lost in the middle.
            if Path(log).read_text().count("save") < 5:
                raise OperationalError("the connection was lost")
        case "no table":
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM nowhere")
