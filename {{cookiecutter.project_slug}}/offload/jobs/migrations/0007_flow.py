from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0006_fill_maintenance"),
    ]

    operations = [
        migrations.AddField("job", "checkpoint", models.JSONField(null=True)),
        migrations.AddField("job", "failed_parts_allowed", models.PositiveIntegerField(default=0)),
        migrations.AddField("job", "then", models.JSONField(null=True)),
        migrations.AddField("job", "on_end", models.JSONField(null=True)),
    ]
