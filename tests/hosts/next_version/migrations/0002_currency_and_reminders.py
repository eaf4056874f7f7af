import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What the next version adds. The standard's next version may add a column, too."""

    dependencies = [("hosts_project", "0001_orders"), ("offload_jobs", "0001_initial")]
    operations = [
        migrations.AddField("Order", "currency", models.CharField(max_length=3, db_default="EUR")),
        migrations.CreateModel(
            name="Reminder",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="hosts_project.order"
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE offload_job ADD COLUMN of_the_next_version integer NULL",
            "ALTER TABLE offload_job DROP COLUMN of_the_next_version",
        ),
    ]
