"""Divided jobs for the tests, made without a worker."""

from typing import Any
from uuid import uuid4

from .conftest import Lab


def claimed(job_id: Any) -> Any:
    """The row of a job that a worker has just claimed."""
    from offload.jobs import transitions

    row = transitions.claim(job_id, uuid4(), 1)
    assert row is not None
    return row


def parts_of(whole: Any) -> list[Any]:
    """The unsaved parts of a claimed job."""
    from offload.jobs.declare import find_job_type
    from offload.jobs.parts import make_parts

    job_type = find_job_type(whole.kind)
    return make_parts(job_type, whole, job_type.params.model_validate(whole.params))


def tolerant(lab: Lab, parts: int) -> tuple[Any, list[Any]]:
    """A divided job that goes on while no more than half of its parts fail, and its claimed
    parts.
    """
    from offload.jobs import transitions

    whole = claimed(lab.submit("lab.tolerant", letters="a" * parts).pk)
    unsaved = parts_of(whole)
    assert transitions.divide(whole, unsaved, parts // 2)
    return whole, [claimed(part.pk) for part in unsaved]


def claimed_whole(lab: Lab, parts: int) -> tuple[Any, list[Any]]:
    """A divided job that a worker has just claimed, and its unsaved parts."""
    whole = claimed(lab.submit("lab.whole", logs=["/dev/null"] * parts, units=1).pk)
    return whole, parts_of(whole)


def divided(lab: Lab, parts: int) -> tuple[Any, list[Any]]:
    """A divided job that waits for its parts, each of which a worker has claimed."""
    from offload.jobs import transitions

    whole, unsaved = claimed_whole(lab, parts)
    assert transitions.divide(whole, unsaved)
    return whole, [claimed(part.pk) for part in unsaved]


def nested(lab: Lab) -> tuple[Any, list[Any], list[Any]]:
    """A job of two parts of two parts each: the job, its parts, and the claimed leaves."""
    from offload.jobs import transitions

    top = claimed(lab.submit("lab.nested", logs=[["/dev/null"] * 2] * 2).pk)
    middles = parts_of(top)
    assert transitions.divide(top, middles)

    leaves = []
    for middle in middles:
        row = claimed(middle.pk)
        unsaved = parts_of(row)
        assert transitions.divide(row, unsaved)
        leaves += [claimed(leaf.pk) for leaf in unsaved]
    return top, middles, leaves
