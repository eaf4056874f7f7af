"""What costs little, gives up at once, or is started by hand: nothing is said of it."""

from pathlib import Path

import pytest
from twins import Twins, check

ZIP = (
    "import zipfile\n\nasync def view(request):\n    with zipfile.ZipFile('a', 'w'{}) as archive:\n"
)
ZIP += "        archive.write('b')\n"
TASK = "from celery import shared_task\n\n@shared_task(bind=True, retry_backoff=True)\n"
TASK += "def send(self):\n    raise self.retry({})\n"
LOCK = "from django.core.cache import cache\n\nasync def view(request):\n"
LOCK += "    with cache.lock('a', timeout=5{}):\n        return None\n"
TWINS = {
    "archive_that_is_compressed": Twins(
        "OFF201", "error", ZIP.format(", zipfile.ZIP_DEFLATED"), ZIP.format("")
    ),
    "task_that_paces_its_retries": Twins(
        "OFF701", "error", TASK.format(""), TASK.format("countdown=60")
    ),
    "lock_that_is_not_waited_for": Twins(
        "OFF103", "error", LOCK.format(""), LOCK.format(", blocking=False")
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_what_costs_little_is_right(tmp_path: Path, name: str) -> None:
    check(TWINS[name], tmp_path)
