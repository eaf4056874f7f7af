import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('offload_jobs', '0004_kept_keys_and_lists'),
    ]

    operations = [
        migrations.RenameField('job', 'not_before', 'due_at'),
        migrations.CreateModel(
            name='ResultFile',
            fields=[
                ('name', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('job', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='files', to='offload_jobs.job')),
            ],
            options={
                'db_table': 'offload_result_file',
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('name', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('interval', models.BigIntegerField()),
            ],
            options={
                'db_table': 'offload_schedule',
            },
        ),
        migrations.RemoveConstraint(
            model_name='job',
            name='offload_job_idempotency',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='offload_job_queue',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='offload_job_expiry',
        ),
        migrations.AddField(
            model_name='job',
            name='parts_count',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='job',
            name='published_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='leader',
            name='reaches_broker',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='leader',
            name='stats',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='leader',
            name='stats_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='kinds',
            field=models.JSONField(default=list),
        ),
        migrations.AlterField(
            model_name='job',
            name='due_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), null=True),
        ),
        migrations.AlterField(
            model_name='job',
            name='parent',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='offload_jobs.job'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['queue', 'published_at', 'due_at', 'kind', 'number'], name='offload_job_waiting'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('worker__isnull', False)), fields=['worker'], name='offload_job_held'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('due_at__isnull', True), ('finished_at__isnull', True), ('worker__isnull', True)), fields=['started_at'], name='offload_job_divided'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at', 'queue'], name='offload_job_finished'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('expires_at__isnull', False), ('parent__isnull', True)), fields=['expires_at'], name='offload_job_expiry'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('parent__isnull', False)), fields=['parent', 'number'], name='offload_job_parts'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.UniqueConstraint(condition=models.Q(('idempotency_key__isnull', False)), fields=('owner', 'kind', 'idempotency_key'), name='offload_job_idempotency'),
        ),
    ]
