from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0006_fill_maintenance"),
    ]

    operations = [
        migrations.AddField("job", "checkpoint", models.JSONField(null=True)),
        migrations.AddField("job", "failed_parts_allowed", models.PositiveIntegerField(default=0)),
        migrations.AddField("job", "then", models.JSONField(null=True)),
        migrations.AddField("job", "on_end", models.JSONField(null=True)),
        # The number of an interval says nothing without the interval, which may have been changed:
        # a known schedule goes on with its next moment.
        migrations.RemoveField("schedule", "interval"),
        migrations.AddField(
            "schedule", "last_at", models.DateTimeField(default=timezone.now), preserve_default=False
        ),
        migrations.AddField("schedule", "paused", models.BooleanField(default=False)),
        migrations.AlterModelOptions("schedule", {"ordering": ("name",)}),
    ]
