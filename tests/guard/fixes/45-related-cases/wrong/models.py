from django.db import models


class Cluster(models.Model):
    case_name = models.TextField()


class Opinion(models.Model):
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="opinions")
    text = models.TextField()
