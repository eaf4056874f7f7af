from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('offload_jobs', '0011_was_due_at'),
    ]

    operations = [
        migrations.CreateModel(
            name='Operations',
            fields=[
            ],
            options={
                'verbose_name_plural': 'operations',
                'default_permissions': (),
                'proxy': True,
                'indexes': [],
                'constraints': [],
            },
            bases=('offload_jobs.job',),
        ),
        migrations.AlterModelOptions(
            name='job',
            options={
                'ordering': ('-created_at', '-id'),
                'permissions': (
                    ('view_job_data', 'Can see parameters and results of jobs'),
                ),
            },
        ),
        migrations.AddField(
            model_name='job',
            name='claimed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='past_attempts',
            field=models.JSONField(null=True),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(
                condition=models.Q(('finished_at__isnull', True)),
                fields=['created_at', '-id'],
                name='offload_job_oldest',
            ),
        ),
    ]
