"""What a validation found, without what it was given: that may be anybody's data."""

from pydantic import ValidationError


def faults_of(error: ValidationError) -> str:
    """The faults in one line, without the inputs."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    )
