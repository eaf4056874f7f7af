from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0010_run_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="was_due_at",
            field=models.DateTimeField(null=True),
        ),
    ]
