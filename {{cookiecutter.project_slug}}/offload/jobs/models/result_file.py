"""The rows of files in file storage."""

from django.db import models

from offload.jobs.models.job import Job


class ResultFile(models.Model):
    """A file in file storage. Its row is written before the file, so that no file is forgotten.

    An attempt that lost its lease leaves a file, too. All files of a job are deleted after its row.
    """

    name = models.CharField(max_length=255, primary_key=True)
    # NULL: the job's row has been deleted, and the file is to be deleted.
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="files")

    class Meta:
        db_table = "offload_result_file"

    def __str__(self) -> str:
        return self.name
