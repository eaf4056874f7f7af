from django.db import migrations, models


class Migration(migrations.Migration):
    """The table of orders."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=100, unique=True)),
            ],
        ),
    ]
