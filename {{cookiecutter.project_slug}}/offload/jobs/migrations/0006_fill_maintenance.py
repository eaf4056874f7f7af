from django.db import migrations
from django.db.models.functions import Coalesce, Now


def fill_new_columns(apps, schema_editor):
    """Waiting jobs are due since their submission, or at the time that a retry gave them."""
    jobs = apps.get_model("offload_jobs", "Job").objects
    files = apps.get_model("offload_jobs", "ResultFile").objects

    jobs.exclude(status="queued").update(due_at=None)
    jobs.filter(status="queued").update(due_at=Coalesce("due_at", "created_at"))
    jobs.filter(status="running", phase="join", worker=None).update(due_at=Now())

    for divided in jobs.exclude(phase="").filter(status="running").values_list("pk", flat=True):
        jobs.filter(pk=divided).update(parts_count=jobs.filter(parent=divided).count())
    for job_id, name in jobs.exclude(result_file="").values_list("pk", "result_file").iterator():
        files.create(name=name, job_id=job_id)


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0005_maintenance"),
    ]

    operations = [
        migrations.RunPython(fill_new_columns, migrations.RunPython.noop),
    ]
