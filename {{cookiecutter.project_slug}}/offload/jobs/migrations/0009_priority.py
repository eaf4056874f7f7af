from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('offload_jobs', '0008_pause_and_deadline'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='job',
            name='offload_job_waiting',
        ),
        migrations.AddField(
            model_name='job',
            name='priority',
            field=models.PositiveSmallIntegerField(choices=[(0, 'High'), (1, 'Normal'), (2, 'Low')], db_default=1, default=1),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['queue', 'published_at', 'due_at', 'kind', 'number', 'owner'], name='offload_job_waiting'),
        ),
    ]
