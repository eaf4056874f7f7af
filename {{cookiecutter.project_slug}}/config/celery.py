"""The configuration of Celery.

The row of a job in the database is the truth. A message of the broker only tells workers to look,
so nothing here has to be durable.
"""

import os
import ssl
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue
from kombu.utils.url import parse_url

from config.env import load

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def _tls_options(redis_url: str) -> dict[str, Any] | None:
    """The TLS options of Celery's connections; None for a URL without TLS.

    kombu 5.7 does not verify the server's certificate unless it is told to. redis-py, which sends
    the events, does. Flower takes no options from the URL.
    """
    if not redis_url.startswith("rediss://"):
        return None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **parse_url(redis_url).get("ssl", {})}


_redis_url = load().redis_url
app = Celery("{{ cookiecutter.project_slug }}")
app.conf.update(
    # --- broker ---
    broker_url=_redis_url,
    broker_use_ssl=_tls_options(_redis_url),
    broker_transport_options={
        # Two services on one Redis database would share the lists of their queues, and discard
        # each other's messages.
        "global_keyprefix": "{{ cookiecutter.project_slug }}:",
        # In seconds, for workers; the relay, which publishes, has stricter limits. kombu waits for
        # ever by default: a half-open socket kept a worker from 30 of 30 jobs for over 110 s. The
        # limit has to be above the second that BRPOP waits.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        # In seconds. A lost connection is found after 11.7 s; with the default of 25 after about
        # 50 s.
        "health_check_interval": 5,
        # The ten steps of offload/jobs/priority.py. With kombu's default of four, several would
        # share one.
        "priority_steps": list(range(10)),
    },
    # A worker that starts before its broker waits for the broker.
    broker_connection_retry_on_startup=True,
    # For ever. With the default of 100 attempts the worker would give up.
    broker_connection_max_retries=None,
    # --- queues ---
    # Each queue has a routing key. Without one, all queues would share the key of the default
    # queue, and every message would come to all of them.
    task_queues=[
        Queue(name, Exchange("jobs"), routing_key=name)
        for name in (
            "default",
            "cpu",
        )
    ],
    task_default_queue="default",
    task_default_exchange="jobs",
    task_default_routing_key="default",
    # With the default a misspelt queue would be created, and no worker would read it.
    task_create_missing_queues=False,
    # --- tasks ---
    # The lease in the row is the real acknowledgement. Late acknowledgements lost and doubled
    # messages on Redis.
    task_acks_late=False,
    # Results are in the row. Each result that Celery keeps subscribes a Redis channel.
    task_ignore_result=True,
    task_serializer="json",
    # Pickle would run any code that somebody puts into Redis.
    accept_content=["json"],
    # --- workers ---
    # Processes for computing.
    worker_pool="prefork",
    # As many processes as the container has cores; the default counts the host's.
    worker_concurrency="auto",
    worker_prefetch_multiplier=1,
    # No job waits behind a long one while another worker is idle (Redis, Celery 5.6).
    worker_disable_prefetch=True,
    # In seconds. The default is 10, since a result may still arrive. Here results are in the row
    # before a process ends.
    worker_lost_wait=0.5,
    # Bounds the memory that a leaking library can take.
    worker_max_tasks_per_child=200,
    # A process keeps its database connection for so many jobs. The default closes it after each
    # job: a new connection to PostgreSQL costs 2.7 ms of CPU with trust, and more with TLS.
    CELERY_DB_REUSE_MAX=100,
    # Flower turns events on in all workers when it starts (its option enable_events). Without it
    # nobody reads them. In one run on a busy machine a short job took 11.3 ms of CPU without them,
    # and 12.4 to 15.0 ms with them.
    worker_send_task_events=False,
    # --- time ---
    timezone="UTC",
)


@setup_logging.connect
def _keep_logging(**_: object) -> None:
    """Keep Django's LOGGING.

    If no receiver is connected, Celery sets the level of the root logger to WARNING.
    """
