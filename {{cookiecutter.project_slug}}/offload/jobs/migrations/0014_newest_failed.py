from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('offload_jobs', '0013_traceparent'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='job',
            index=models.Index(
                condition=models.Q(('status', status)),
                fields=['-created_at', '-id', 'number'],
                name=f'offload_job_newest_{status}',
            ),
        )
        for status in ('failed', 'cancelled')
    ]
