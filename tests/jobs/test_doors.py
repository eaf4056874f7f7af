"""What another owner, and a user of the admin without rights, learns of a job: nothing."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from .conftest import Lab


@pytest.fixture
def ada(lab: Lab) -> Any:
    """A client with the token of `ada`."""
    from django.test import Client

    from offload.access.models import ApiToken

    _, token = ApiToken.make("ada")
    return Client(headers={"Authorization": f"Bearer {token}"})


def test_another_owners_job_is_no_place_in_a_list(lab: Lab, ada: Any) -> None:
    mine = lab.submit("lab.burn", owner="ada")
    strange = lab.submit("lab.burn", owner="eve")

    def page_after(job_id: UUID) -> tuple[int, str]:
        answer = ada.get("/api/jobs", {"cursor": str(job_id)})
        return answer.status_code, answer.content.decode().replace(str(job_id), "ID")

    assert page_after(mine.pk)[0] == 200
    status, text = page_after(strange.pk)
    assert (status, text) == page_after(uuid4()), "as one that is not there"
    assert status == 404


def test_another_owners_idempotency_key_finds_nothing(lab: Lab) -> None:
    from asgiref.sync import async_to_sync

    from offload.jobs import Idempotency, submit
    from offload.jobs.declare import find_job_type

    for kind in ("lab.burn", "lab.unique"):
        job_type = find_job_type(kind)
        params = job_type.params(log="/dev/null")
        jobs = [
            async_to_sync(submit)(
                job_type, params, owner=owner, idempotency=Idempotency("key", "one body")
            )
            for owner in ("ada", "eve", "ada")
        ]
        assert jobs[0].pk == jobs[2].pk
        assert jobs[1].pk != jobs[0].pk
        assert jobs[1].owner == "eve"


def admin_paths(job: Any) -> list[str]:
    """The path of each page of the admin that shows jobs or tokens, also of those to come."""
    from django.contrib import admin
    from django.urls import NoReverseMatch, reverse

    from offload.access.models import ApiToken

    token, _ = ApiToken.make("eve")
    paths = []
    for model, site in admin.site._registry.items():
        if model._meta.app_label not in ("offload_jobs", "offload_access"):
            continue
        for pattern in site.get_urls():
            if not pattern.name:
                continue
            pk = {"job": job.pk, "apitoken": token.pk}.get(model._meta.model_name or "", 1)
            for arguments in ([], [pk]):
                try:
                    paths.append(reverse(f"admin:{pattern.name}", args=arguments))
                except NoReverseMatch:
                    continue
    return paths


# A page of a row that is not there leads back to the index.
@pytest.mark.parametrize(("is_staff", "refusals"), [(False, {302}), (True, {302, 403})])
def test_a_user_without_permissions_sees_no_page_of_the_admin(
    lab: Lab, is_staff: bool, refusals: set[int]
) -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    from offload.access.models import ApiToken

    job = lab.submit("lab.burn", owner="eve", log="/secret/path")
    paths = admin_paths(job)
    assert len(paths) >= 20, paths
    user = User.objects.create_user("ann", is_staff=is_staff)
    try:
        client = Client()
        client.force_login(user)
        for path in paths:
            for answer in (client.get(path), client.post(path, {"confirmed": "1"})):
                assert answer.status_code in refusals, path
                assert b"/secret/path" not in answer.content
    finally:
        user.delete()
    job.refresh_from_db()
    assert job.status == "queued"
    assert ApiToken.objects.filter(owner="eve").count() == 1
