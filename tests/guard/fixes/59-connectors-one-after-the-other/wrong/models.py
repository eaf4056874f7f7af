from django.db import models


class Connector(models.Model):
    identifier = models.CharField(max_length=255, unique=True)
    search_url = models.URLField()
    priority = models.IntegerField(default=2)
    active = models.BooleanField(default=True)

    def parse(self, raw) -> list[dict]:
        return [{"title": row["title"], "key": row["key"]} for row in raw if "title" in row]
