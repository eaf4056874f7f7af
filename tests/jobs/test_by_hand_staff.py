"""What staff do by hand: the admin, and `manage.py jobs`. No worker runs beside these tests."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .test_by_hand import failed
from .test_families import states


@pytest.fixture(autouse=True)
def _no_jobs(_database: None) -> Iterator[None]:
    """Nothing is left for the next test."""
    from offload.jobs.models import Job, Pause

    yield
    for model in (Job, Pause):
        model.objects.all().delete()


def pages(*permissions: str) -> Any:
    """A browser whose user of the admin has these permissions."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    user = User.objects.create_user(f"staff-{uuid4()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def command(*words: Any) -> str:
    """What `manage.py jobs` writes."""
    from django.core.management import call_command

    out = io.StringIO()
    call_command("jobs", *words, stdout=out, stderr=out)
    return out.getvalue()


def test_the_admin_shows_what_failed_and_retries_it_after_a_confirmation() -> None:
    from django.contrib.admin.models import LogEntry

    lab = Lab(Path("/tmp"))
    jobs = [failed(lab, log="/dev/null") for _ in range(2)]
    browser = pages("view_job", "change_job")
    page = browser.get("/admin/offload_jobs/job/failures/").content.decode()
    assert "the disk is full" in page
    assert "Failed parts of a divided job are not counted here" in page
    link = page.partition("/admin/offload_jobs/job/?")[2].partition('"')[0]
    listing = "/admin/offload_jobs/job/?" + link.replace("&amp;", "&")
    assert browser.get(listing).content.decode().count("lab.burn</td>") == 2

    chosen = {"action": "retry_selected", "_selected_action": [str(job.pk) for job in jobs]}
    asked = browser.post(listing, {**chosen, "index": 0})
    assert "Retry 2 jobs?" in asked.content.decode()
    assert states(jobs) == ["failed"] * 2

    done = browser.post(listing, {**chosen, "confirmed": "yes"}, follow=True)
    assert "Retry: 2 jobs." in done.content.decode()
    assert states(jobs) == ["queued"] * 2
    entries = LogEntry.objects.filter(object_id__in=[job.pk for job in jobs])
    assert {entry.change_message for entry in entries} == {"retry by hand"}


def test_the_admin_tells_what_was_not_done() -> None:
    job = Lab(Path("/tmp")).submit("lab.burn", log="/dev/null")
    browser = pages("view_job", "delete_job")
    chosen = {"action": "discard_selected", "_selected_action": [str(job.pk)], "confirmed": "yes"}
    page = browser.post("/admin/offload_jobs/job/", chosen, follow=True).content.decode()
    assert "cancel it before you discard it" in page
    assert states([job]) == ["queued"]


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        ("retry_selected", "change_job"),
        ("cancel_selected", "change_job"),
        ("discard_selected", "delete_job"),
    ],
)
def test_an_action_of_the_admin_needs_its_permission(action: str, permission: str) -> None:
    from offload.jobs.models import Job

    job = failed(Lab(Path("/tmp")), log="/dev/null")
    chosen = {"action": action, "_selected_action": [str(job.pk)], "confirmed": "yes"}
    others = {"view_job", "change_job", "delete_job"} - {permission}
    pages(*others).post("/admin/offload_jobs/job/", chosen)
    assert states([job]) == ["failed"]
    pages().get("/admin/offload_jobs/job/failures/")
    assert pages().get("/admin/offload_jobs/job/failures/").status_code == 403

    browser = pages("view_job", permission)
    browser.post("/admin/offload_jobs/job/", chosen)
    left = Job.objects.filter(pk=job.pk).values_list("status", flat=True).first()
    assert left == {"retry_selected": "queued", "cancel_selected": "failed"}.get(action)


def test_the_admin_pauses_and_resumes() -> None:
    from offload.jobs.models import Pause

    browser = pages("view_pause", "add_pause", "delete_pause")
    added = "/admin/offload_jobs/pause/add/"
    refused = browser.post(added, {"queue": "cpu", "kind": "lab.burn", "reason": ""})
    assert "Name a queue or a job type, and not both." in refused.content.decode()
    assert browser.post(added, {"queue": "gpu"}).status_code == 200
    assert not Pause.objects.exists()

    assert browser.post(added, {"kind": "lab.burn", "reason": "repairs"}).status_code == 302
    paused = Pause.objects.get()
    assert (str(paused), paused.paused_by[:6]) == ("the job type lab.burn", "staff-")
    assert browser.get(f"/admin/offload_jobs/pause/{paused.pk}/change/").status_code == 200
    gone = browser.post(f"/admin/offload_jobs/pause/{paused.pk}/delete/", {"post": "yes"})
    assert (gone.status_code, Pause.objects.exists()) == (302, False)
    assert pages("view_pause").post(added, {"queue": "cpu"}).status_code == 403


def test_a_second_pause_says_who_has_paused_it_first_and_a_resume_wants_a_name() -> None:
    from django.core.management import CommandError

    first = command("pause", "--queue", "cpu", "--reason", "repairs")
    assert first.startswith("paused: the queue cpu, by ")
    assert first.endswith(" UTC: repairs\n")
    assert command("pause", "--queue", "cpu", "--reason", "a full disk") == first
    command("resume", "--queue", "cpu")
    with pytest.raises(CommandError, match="name a queue or a job type"):
        command("resume")


def test_the_command_acts_on_ids_and_on_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.management import CommandError

    from offload.jobs.models import Job

    lab = Lab(Path("/tmp"))
    jobs = [failed(lab, log="/dev/null") for _ in range(3)]
    waiting = lab.submit("lab.burn", log="/dev/null")
    assert "3  lab.burn: the disk is full  (the last at 20" in command("failed")
    with pytest.raises(CommandError, match="give ids of jobs, or a filter"):
        command("retry")
    with pytest.raises(CommandError, match="not done with 1 jobs"):
        command("retry", jobs[0].pk, waiting.pk)
    assert states(jobs) == ["queued", "failed", "failed"]

    monkeypatch.setattr("builtins.input", lambda question: "n")
    with pytest.raises(CommandError, match="nothing was done"):
        command("discard", "--all")
    command("discard", "--kind", "lab.burn", "--error", "the disk is full", "--no-input")
    assert set(Job.objects.values_list("pk", flat=True)) == {jobs[0].pk, waiting.pk}
    command("cancel", waiting.pk)
    assert states([waiting]) == ["cancelled"]
    with pytest.raises(CommandError, match="cpu is not paused"):
        command("resume", "--queue", "cpu")
    with pytest.raises(CommandError, match="declares default, cpu"):
        command("pause", "--queue", "gpu")
