"""What Celery is told. The row of a job is the truth and the broker a doorbell, so nothing here has
to be durable.
"""

import os

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue

from config.env import load

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("{{ cookiecutter.project_slug }}")
app.conf.update(
    # --- broker ---
    broker_url=load().redis_url,
    broker_transport_options={
        # The consumer's profile; the relay, which publishes, has a stricter one. kombu's default is
        # to wait for ever: a half-open socket kept a worker from 30 of 30 jobs for over 110 s.
        # Above BRPOP's own second.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        # Default 25: a lost connection is found after about 50 s; 11.7 s with this.
        "health_check_interval": 5,
    },
    # A worker that starts before its broker waits for it.
    broker_connection_retry_on_startup=True,
    # Default 100: then the worker would give up.
    broker_connection_max_retries=None,
    # --- queues --- With a routing key each: without one all share the default's, and every message
    # would land in all of them.
    task_queues=[Queue(name, Exchange("jobs"), routing_key=name) for name in ("default", "cpu")],
    task_default_queue="default",
    task_default_exchange="jobs",
    task_default_routing_key="default",
    # A misspelt queue is an error, not a queue that nobody reads.
    task_create_missing_queues=False,
    # --- tasks ---
    # The row's lease is the real acknowledgement; late ones lost and doubled messages on Redis.
    task_acks_late=False,
    # Results are in the row; each kept one would subscribe a Redis channel.
    task_ignore_result=True,
    task_serializer="json",
    # Pickle would run whatever anybody puts into Redis.
    accept_content=["json"],
    # --- workers ---
    # Processes for computing.
    worker_pool="prefork",
    # The container's cores, not the host's.
    worker_concurrency="auto",
    worker_prefetch_multiplier=1,
    # No job waits behind a long one while another worker idles (Redis; 5.6).
    worker_disable_prefetch=True,
    # Seconds; default 10, for a result that may still arrive. Ours are in the rows already.
    worker_lost_wait=0.5,
    # Bounds what a leaking library can leak.
    worker_max_tasks_per_child=200,
    # Flower.
    worker_send_task_events=True,
    # --- time ---
    timezone="UTC",
)


@setup_logging.connect
def _keep_logging(**_: object) -> None:
    """Logs are Django's LOGGING's: where nobody is connected, Celery sets the root logger's level
    to WARNING.
    """
