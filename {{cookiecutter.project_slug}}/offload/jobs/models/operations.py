"""What Django's admin lists as "Operations"."""

from offload.jobs.models.job import Job


class Operations(Job):
    """No rows of its own: the admin's index links to a page for each model, and this is one.

    Who may see it is asked of `Job`.
    """

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name_plural = "operations"
