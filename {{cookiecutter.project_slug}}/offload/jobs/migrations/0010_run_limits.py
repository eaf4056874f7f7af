import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('offload_jobs', '0009_priority'),
    ]

    operations = [
        migrations.CreateModel(
            name='RunLimitKey',
            fields=[
                ('key', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('next_start_at', models.DateTimeField(null=True)),
                ('rank', models.BigIntegerField(default=0)),
                ('used_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'offload_run_limit_key',
            },
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='offload_job_divided',
        ),
        migrations.AddField(
            model_name='job',
            name='limit_key',
            field=models.CharField(max_length=255, null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='place',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='rank',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='job',
            name='unblock_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('due_at__isnull', True), ('finished_at__isnull', True), ('unblock_at__isnull', True), ('worker__isnull', True)), fields=['started_at'], name='offload_job_divided'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('unblock_at__isnull', False)), fields=['limit_key', 'rank', 'unblock_at'], name='offload_job_blocked'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('unblock_at__isnull', False)), fields=['limit_key', 'owner', 'priority', 'rank'], name='offload_job_owner_blocked'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.UniqueConstraint(condition=models.Q(('place__isnull', False)), fields=('limit_key', 'place'), name='offload_job_place'),
        ),
    ]
