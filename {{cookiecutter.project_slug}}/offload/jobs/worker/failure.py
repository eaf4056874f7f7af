"""What is told of a job's error: a sentence for clients, and the whole text for operators."""

from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from offload.jobs.errors import JobError
from offload.jobs.job_type import JobType

# Characters of a text about an error. Longer ones, such as a repeated input, are cut.
MAX_ERROR_LENGTH = 4000


def public_text(job_type: JobType[Any, Any], error: BaseException) -> str:
    """What clients see: what the job's author or this package wrote for them.

    An error of any other kind may hold addresses, paths, SQL or inputs. Clients see only its type.
    """
    match error:
        case JobError():
            return clean_text(_text(error))
        case SoftTimeLimitExceeded():
            return f"time limit: still running after {job_type.limits.soft_limit:g} s"
        case MemoryError():
            mebibytes = job_type.limits.memory_limit // 2**20
            return f"memory limit: the job needed more than {mebibytes} MiB"
        # Python writes no number of more than 4,300 digits as text.
        case SystemExit(code=int() | None as code) if not code or code.bit_length() <= 64:
            return f"the job called sys.exit({code!r})"
    return clean_text(
        f"failed with {type(error).__name__}; the log has the reason under the job's id"
    )


def full_text(error: BaseException) -> str:
    """What operators see in the admin: type and text."""
    return clean_text(f"{type(error).__name__}: {_text(error)}")


def clean_text(text: str, length: int = MAX_ERROR_LENGTH) -> str:
    """The text as every database takes it.

    PostgreSQL refuses NUL, and no driver encodes a lone surrogate, which `os.fsdecode` makes of a
    wrong byte in a file's name.
    """
    return text[:length].replace("\0", "").encode("utf-8", "backslashreplace").decode()[:length]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    # Whatever `__str__` raises, also sys.exit().
    except BaseException as fault:  # noqa: BLE001
        return f"its text cannot be read: str() raised {type(fault).__name__}"
