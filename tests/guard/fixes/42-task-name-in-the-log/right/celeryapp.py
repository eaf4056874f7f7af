import os

from celery import Celery
from celery.signals import task_postrun, task_prerun

from .logfilters import TaskFilter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

app = Celery("studio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.worker_pool = "threads"
app.autodiscover_tasks()


@task_prerun.connect
def task_starts(task_id, task, **kwargs):
    TaskFilter.set_task(task_id, task.name)


@task_postrun.connect
def task_ends(**kwargs):
    TaskFilter.clear_task()
