"""`python -m offload.jobs` is Celery's worker command, without its other commands."""

import sys
from pathlib import Path

from .conftest import Lab

WORKER = (sys.executable, "-m", "offload.jobs", "-Q", "cpu")


def test_an_unknown_option_ends_with_a_line_that_names_it(lab: Lab) -> None:
    assert lab.start("worker", *WORKER, "--concurency=2").wait(60) == 2
    printed = lab.log("worker")
    assert "Usage: python -m offload.jobs [OPTIONS]" in printed, printed
    assert "No such option '--concurency'" in printed, printed
    assert "Traceback" not in printed


def test_the_options_that_a_service_adds_are_known(lab: Lab) -> None:
    """`app.user_options` is Celery's own way to add them."""
    code = (
        "import config.celery as c, runpy, sys; from click import Option; "
        "c.app.user_options['worker'].add(Option(['--tier'])); sys.argv[1:] = ['--help']; "
        "runpy.run_module('offload.jobs', run_name='__main__')"
    )
    assert lab.start("worker", sys.executable, "-c", code).wait(60) == 0
    assert "--tier" in lab.log("worker")


def test_the_other_commands_and_flower_are_not_imported(lab: Lab) -> None:
    imported = (sys.executable, "-X", "importtime", "-m", "offload.jobs", "--help")
    assert lab.start("worker", *imported).wait(60) == 0
    modules = {line.rpartition("|")[2].strip() for line in lab.log("worker").splitlines()}
    assert "celery.bin.worker" in modules
    assert not modules & {"celery.bin.celery", "flower", "tornado", "prompt_toolkit"}


def test_a_worker_loads_neither_views_nor_the_client_of_upstreams(running: Lab) -> None:
    """Celery runs Django's checks for nothing, which import the URLs, so 21 MB more."""
    running.reaches(running.submit("lab.burn", units=1), "succeeded")
    mapped = Path(f"/proc/{running.processes['worker'].pid}/maps").read_text()
    assert "/pydantic_core/" in mapped
    assert "/aiohttp/" not in mapped


def test_a_broker_of_another_program_in_the_environment_changes_nothing(lab: Lab) -> None:
    """The web process does not know these names of variables: both would use different brokers."""
    lab.redis()
    lab.worker(BROKER_URL="redis://127.0.0.1:1/0", CONFIG_MODULE="nothing", APP="nothing")
    lab.reaches(lab.submit("lab.burn", units=1), "succeeded")
