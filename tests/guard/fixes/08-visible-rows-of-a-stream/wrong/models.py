from django.conf import settings
from django.db import models


class RepositoryAccess(models.Model):
    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    repo_id = models.CharField(max_length=200)


class RunQuerySet(models.QuerySet):
    def unfinished(self):
        return self.filter(status__in=("queued", "running"))

    def visible_to(self, user):
        if user.is_superuser:
            return self
        granted = RepositoryAccess.objects.filter(member=user).values_list("repo_id", flat=True)
        allowed = sorted(granted)
        if not allowed:
            return self.filter(owner=user)
        return self.filter(models.Q(owner=user) | models.Q(repo_id__in=allowed))


class Run(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    repo_id = models.CharField(max_length=200)
    status = models.CharField(max_length=20, default="queued")
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()
