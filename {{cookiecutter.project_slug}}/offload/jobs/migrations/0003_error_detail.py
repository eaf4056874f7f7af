from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("offload_jobs", "0002_result_lifetime")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="error_detail",
            field=models.TextField(blank=True, default=""),
        ),
    ]
