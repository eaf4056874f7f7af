"""Retries of Celery that the task's own handler of errors catches."""

from pathlib import Path

import pytest
from twins import Twins, check

HEAD = """
from celery import shared_task
from celery.exceptions import Retry, SoftTimeLimitExceeded

@shared_task(bind=True, time_limit=60)
def send(self, pk):
"""
CAUGHT = """
    try:
        if not deliver(pk):
            self.retry(countdown=30)
    except Exception:
        mark_failed(pk)
"""
RIGHT = {
    "let_through": CAUGHT.replace(
        "    except Exc", "    except Retry:\n        raise\n    except Exc"
    ),
    "raised_again": CAUGHT + "        raise\n",
    "not_raised": CAUGHT.replace("=30)", "=30, throw=False)"),
    "another_error": CAUGHT.replace("Exception", "ValueError"),
    "meant": CAUGHT.replace("Exception", "(Retry, OSError)"),
    "of_the_handler": """
    try:
        deliver(pk)
    except Exception as error:
        self.retry(exc=error)
""",
    "tries_again": CAUGHT.replace("mark_failed(pk)", "raise self.retry(countdown=60)"),
    "of_another": CAUGHT.replace("self.retry(countdown=30)", "session.retry(pk)"),
}
NESTED = """
    try:
        try:
            deliver(pk)
        except OSError as error:
            raise self.retry(exc=error)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        return False
"""
WRONG = {
    "caught": CAUGHT,
    "bare": CAUGHT.replace("except Exception", "except"),
    "several": CAUGHT.replace("Exception", "(ValueError, Exception)"),
    "in_the_block_around": NESTED,
    "by_its_name": CAUGHT.replace("self.retry", "send.retry"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_retry_that_the_task_catches_is_found(name: str, tmp_path: Path) -> None:
    right = HEAD + RIGHT["let_through"]
    check(Twins("OFF701", "warning", HEAD + WRONG[name], right), tmp_path)


@pytest.mark.parametrize("name", RIGHT)
def test_a_retry_that_comes_through_is_no_finding(name: str, tmp_path: Path) -> None:
    check(Twins("OFF701", "warning", HEAD + CAUGHT, HEAD + RIGHT[name]), tmp_path)
