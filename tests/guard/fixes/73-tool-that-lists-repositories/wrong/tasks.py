from celery import shared_task

from .models import Job


@shared_task(time_limit=3600)
def run_job(job_id: int) -> None:
    Job.objects.filter(pk=job_id).update(status="running")
