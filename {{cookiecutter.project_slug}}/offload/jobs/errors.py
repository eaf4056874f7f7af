"""What declaring, submitting and computing a job may raise."""

from offload.problems import Problem


class JobError(Exception):
    """A job's function raises it to fail with a sentence for the job's owner.

    Clients see its text. Of every other error they see the type only; its text stays in the log and
    in the admin.
    """


class InvalidJob(Exception):
    """A job is declared wrongly; the sentence says what to write instead."""


class UnknownJobType(LookupError):
    """No job type has this name; the sentence lists the names there are."""


class ParamsTooLarge(Problem):
    """413: a job's parameters are too large; the sentence says what to do with large inputs."""


class ParamsUnfit(Problem):
    """422: a job's parameters cannot be read back from JSON, such as a float NaN."""
