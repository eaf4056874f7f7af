from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0014_newest_failed"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="progress_due_at",
            field=models.DateTimeField(null=True),
        ),
    ]
