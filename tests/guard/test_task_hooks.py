"""Errors that `autoretry_for` names, raised in a hook of the task, where Celery does not retry."""

from pathlib import Path

import pytest
from twins import Twins, check

HEAD = """
from celery import Celery, Task, shared_task

app = Celery("shop", broker="redis://localhost:6379/0")
app.conf.task_time_limit = 60

class NotYet(Exception):
    pass

class MuchTooEarly(NotYet):
    pass

class Refused(Exception):
    pass

"""
RUN = "\n@shared_task(base=Waiting, bind=True)\ndef proof(self, pk):\n    return pk\n"
RETRIES = "class Waiting(Task):\n    autoretry_for = (NotYet, OSError)\n\n"


def hook(name: str, line: str) -> str:
    return f"    def {name}(self, *args, **kwargs):\n        {line}\n"


CASES = {
    "of_the_class": Twins(
        "OFF701",
        "error",
        HEAD + RETRIES + hook("before_start", "raise NotYet(args)") + RUN,
        HEAD + RETRIES + hook("before_start", "raise self.retry(exc=NotYet(args))") + RUN,
    ),
    "another_error": Twins(
        "OFF701",
        "error",
        HEAD + RETRIES + hook("before_start", "raise NotYet") + RUN,
        HEAD + RETRIES + hook("before_start", "raise Refused") + RUN,
    ),
    "heir_of_the_error": Twins(
        "OFF701",
        "error",
        HEAD + RETRIES + hook("before_start", "raise MuchTooEarly") + RUN,
        HEAD + RETRIES + hook("run", "raise MuchTooEarly") + RUN,
    ),
    "error_of_python": Twins(
        "OFF701",
        "error",
        HEAD + RETRIES + hook("before_start", "raise ConnectionError") + RUN,
        HEAD + RETRIES + hook("before_start", "raise ValueError") + RUN,
    ),
    "of_the_decorator": Twins(
        "OFF701",
        "error",
        HEAD
        + "class Waiting(Task):\n"
        + hook("before_start", "raise NotYet")
        + "\n@app.task(base=Waiting, autoretry_for=[NotYet])\ndef proof(pk):\n    return pk\n",
        HEAD
        + "class Waiting(Task):\n"
        + hook("before_start", "raise NotYet")
        + "\n@app.task(base=Waiting)\ndef proof(pk):\n    return pk\n"
        + "\n@app.task(autoretry_for=[NotYet])\ndef print_it(pk):\n    raise NotYet\n",
    ),
    "of_an_heir": Twins(
        "OFF701",
        "error",
        HEAD
        + "ERRORS = (NotYet,)\n\nclass Waiting(Task):\n"
        + hook("__call__", "raise NotYet")
        + "\nclass Slow(Waiting):\n    autoretry_for = ERRORS\n"
        + RUN,
        HEAD
        + "ERRORS = (NotYet,)\n\nclass Waiting(Task):\n"
        + hook("__call__", "return self.run(*args, **kwargs)")
        + "\nclass Slow(Waiting):\n    autoretry_for = ERRORS\n"
        + RUN,
    ),
    "base_of_all_tasks": Twins(
        "OFF701",
        "error",
        HEAD
        + "class Waiting(Task):\n"
        + hook("before_start", "raise NotYet")
        + "\nother = Celery('shop', task_cls=Waiting)\n"
        + "\n@app.task(autoretry_for=(NotYet,))\ndef proof(pk):\n    return pk\n",
        HEAD
        + "class Waiting(Task):\n"
        + hook("before_start", "raise NotYet")
        + "\nother = Celery('shop', task_cls=Task)\n"
        + "\n@app.task(autoretry_for=(NotYet,))\ndef proof(pk):\n    return pk\n",
    ),
    "by_a_helper": Twins(
        "OFF701",
        "error",
        HEAD
        + "def check(pk):\n    if not pk:\n        raise NotYet\n\n"
        + RETRIES
        + hook("before_start", "check(args)")
        + RUN,
        HEAD
        + "def check(pk):\n    if not pk:\n        raise NotYet\n\n"
        + RETRIES
        + hook(
            "before_start",
            "try:\n            check(args)\n        except NotYet as error:\n"
            "            raise self.retry(exc=error)",
        )
        + RUN,
    ),
    "by_a_method": Twins(
        "OFF701",
        "error",
        HEAD + RETRIES + hook("before_start", "self.check()") + hook("check", "raise NotYet") + RUN,
        HEAD
        + RETRIES
        + hook("before_start", "print(self.check)")
        + hook("check", "raise NotYet")
        + RUN,
    ),
    "any_error": Twins(
        "OFF701",
        "warning",
        HEAD
        + "class Waiting(Task):\n    autoretry_for = (Exception,)\n\n"
        + hook("before_start", "raise NotYet")
        + RUN,
        HEAD
        + "class Waiting(Task):\n    autoretry_for = (Exception,)\n"
        + "    dont_autoretry_for = (NotYet,)\n\n"
        + hook("before_start", "raise NotYet")
        + RUN,
    ),
    "no_task": Twins(
        "OFF701",
        "error",
        HEAD + RETRIES + hook("before_start", "raise NotYet") + RUN,
        HEAD
        + "class Waiting:\n    autoretry_for = (NotYet,)\n\n"
        + hook("before_start", "raise NotYet"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hook_does_not_raise_what_only_the_task_is_retried_for(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)
