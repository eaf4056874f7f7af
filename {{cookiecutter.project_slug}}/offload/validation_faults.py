"""What a validation found, without what it was given: that may be anybody's data."""

from pydantic import ValidationError

# More faults are only counted: a document of a megabyte can have 100,000, which take 0.4 s to
# describe, and pydantic can only describe all of them or none.
MAX_DESCRIBED_FAULTS = 1000
# So many are told, and so many characters of each: a key of a dict is as long as its sender likes.
MAX_TOLD_FAULTS = 10
MAX_FAULT_LENGTH = 200


def faults_of(error: ValidationError) -> str:
    """The first faults in one line, without the inputs, and the number of the others."""
    count = error.error_count()
    if count > MAX_DESCRIBED_FAULTS:
        return f"{count} values of {error.title} are wrong, too many to describe"

    found = error.errors(include_input=False, include_url=False, include_context=False)
    told = [
        f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['msg']}"[:MAX_FAULT_LENGTH]
        for fault in found[:MAX_TOLD_FAULTS]
    ]
    if count > MAX_TOLD_FAULTS:
        told.append(f"and {count - MAX_TOLD_FAULTS} more")
    return "; ".join(told)
