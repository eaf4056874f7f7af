"""`python -m offload.jobs -Q cpu`: a worker as production runs it. Further arguments are `celery
worker`'s own.
"""

import contextlib
import os
import sys
import warnings
from pathlib import Path

import django

from offload.conf import conf

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Celery warns of root because pickle would let a message run anything; config/celery.py accepts
# JSON alone.
warnings.filterwarnings("ignore", message=".*superuser privileges", append=False)

# SIGTERM means soft shutdown: finish what fits into `worker_soft_shutdown_timeout`, hand the rest
# back. Celery's own SIGTERM waits for the running jobs, until the platform's SIGKILL (a 30 s task:
# exit at 30.0 s). Read at import.
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")

# One process computes on one core: a BLAS that starts a thread a core in each would have them
# fight.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def give_way(nice: int) -> None:
    """Have the kernel prefer the web process. Linux groups by session first: there, nice alone
    changes nothing.

    Measured with autogroup scheduling (sched(7)): two sessions share a core 3.02 s to 3.02 s under
    nice alone, 5.81 to 0.54 with the group's nice set, too.
    """
    os.nice(nice)
    # Not Linux, no autogroups, or a container: CPU weights do it there.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def main() -> None:
    """Run the worker until it is told to stop."""
    django.setup()
    give_way(conf().worker_nice)
    # Celery reads the environment above when it is imported.
    from celery import current_app

    from offload.jobs import kinds
    from offload.jobs.supervisor import Supervisor

    for kind in kinds.all_kinds():
        kind.preload()
    current_app.steps["worker"].add(Supervisor)
    # One line of ours says what its banner does.
    current_app.worker_main(["--quiet", "worker", *sys.argv[1:]])


if __name__ == "__main__":
    main()
