from django.db import models


class Judge(models.Model):
    name = models.CharField(max_length=100)


class Court(models.Model):
    short_name = models.CharField(max_length=100)


class Origin(models.Model):
    docket_number = models.CharField(max_length=50, blank=True)
    assigned_to = models.ForeignKey(
        Judge, null=True, on_delete=models.SET_NULL, related_name="origins"
    )
    date_filed = models.DateField(null=True)


class Docket(models.Model):
    court = models.ForeignKey(Court, on_delete=models.CASCADE, related_name="dockets")
    appeal_from = models.ForeignKey(
        Court, null=True, on_delete=models.SET_NULL, related_name="appealed"
    )
    origin = models.OneToOneField(Origin, null=True, on_delete=models.SET_NULL)
    nature = models.CharField(max_length=100, blank=True)
