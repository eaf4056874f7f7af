"""`python -m offload.jobs -Q cpu`: a worker, as production runs it.

Further arguments are those of `celery worker`.
"""

import contextlib
import os
import sys
import warnings
from pathlib import Path

import django
from django.apps import apps

from offload.conf import conf
from offload.first_process import end_on_sigterm
from offload.standard_streams import open_standard_streams


def main() -> None:
    """Run the worker until it is told to stop.

    Raises:
        SystemExit: always, with 0 where it was told to stop, 1 where it failed, and 2 for arguments
            that it does not know.
    """
    open_standard_streams()
    end_on_sigterm()
    _prepare_environment()
    django.setup()
    if not apps.is_installed("offload.jobs"):
        sys.exit(
            f"The settings {os.environ['DJANGO_SETTINGS_MODULE']} have no offload.jobs in "
            "INSTALLED_APPS: name the service's own in DJANGO_SETTINGS_MODULE."
        )
    give_way(conf().worker_nice)
    _run_celery()


def _run_celery() -> None:
    # Only now, because Celery reads the environment when it is imported.
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    from offload.celery_app import celery_app
    from offload.jobs.apps import is_no_plain_worker
    from offload.jobs.declare import all_job_types
    from offload.jobs.worker.start import preload
    from offload.jobs.worker.supervisor import Supervisor

    for job_type in all_job_types():
        preload(job_type)

    is_no_plain_worker()
    celery_app().steps["worker"].add(Supervisor)
    celery_app().conf.worker_consumer = "offload.jobs.worker.consumer:SteadyConsumer"

    # Options that the service adds to those of Celery (`app.user_options`).
    for kind in ("worker", "preload"):
        worker.params.extend(celery_app().user_options[kind])

    # Not `worker_main`: that imports all commands of Celery and Flower (11 MB, 0.16 s), drops the
    # status, so that a crash looks like an ordered end, and takes BROKER_URL and CONFIG_MODULE from
    # the environment, of which the web process knows nothing. Quiet: the supervisor logs one line
    # that says what Celery's banner says.
    context = CLIContext(app=celery_app(), no_color=False, workdir=None, quiet=True)
    worker.main(prog_name="python -m offload.jobs", obj=context)


def give_way(nice: int) -> None:
    """Let the web process have the CPU first. `nice` is from 0 (not at all) to 19.

    Linux shares the CPU between sessions first, where nice alone changes nothing. Measured with
    autogroup scheduling (sched(7)): two sessions share a core 3.02 s to 3.02 s with nice alone,
    5.81 to 0.54 s with the group's nice, too.
    """
    os.nice(nice)

    # The file is missing where there are no autogroups: outside Linux, and in containers, where CPU
    # weights do the same.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def _prepare_environment() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

    # Celery warns of running as root, because with pickle a message could run anything.
    # config/celery.py accepts JSON alone.
    warnings.filterwarnings("ignore", message=".*superuser privileges", append=False)

    # Celery runs Django's checks at a worker's start, and drops what they find. They import the
    # URLs with all views and clients: 21 MB and 0.5 s.
    os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

    # SIGTERM means a soft shutdown: finish what fits into the grace, hand back the rest. Celery's
    # own SIGTERM waits for the running jobs until the platform sends SIGKILL (a task of 30 s: exit
    # after 30.0 s).
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")

    # One process computes on one core. A BLAS that starts a thread for each core in each process
    # would slow them all.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


if __name__ == "__main__":
    main()
