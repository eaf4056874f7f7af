from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0012_operations"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="traceparent",
            field=models.CharField(max_length=55, null=True),
        ),
    ]
