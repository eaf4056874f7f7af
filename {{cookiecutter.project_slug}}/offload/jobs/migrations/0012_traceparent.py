from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0011_was_due_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="traceparent",
            field=models.CharField(max_length=55, null=True),
        ),
    ]
