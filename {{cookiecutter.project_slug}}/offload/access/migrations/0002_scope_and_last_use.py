import offload.access.scopes
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('offload_access', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='apitoken',
            name='last_used_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='apitoken',
            name='scope',
            field=models.CharField(db_default='read write', default='read write', help_text='read (GET and HEAD), write (everything else), or both with a space', max_length=100, validators=[offload.access.scopes.check_scope]),
        ),
    ]
