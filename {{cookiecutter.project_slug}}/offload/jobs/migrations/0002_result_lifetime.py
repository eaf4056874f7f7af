from django.db import migrations, models

import offload.jobs.models


class Migration(migrations.Migration):

    dependencies = [
        ("offload_jobs", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="result_lifetime",
            field=models.DurationField(default=offload.jobs.models.default_result_lifetime),
        ),
    ]
