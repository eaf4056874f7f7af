"""An upload is created and processed."""

import pytest
from django.contrib.auth.models import User
from django.urls import include, path
from rest_framework.routers import SimpleRouter
from shop.models import Upload
from shop.viewsets import UploadViewSet

router = SimpleRouter()
router.register("uploads", UploadViewSet)
urlpatterns = [path("", include(router.urls))]


@pytest.mark.django_db(transaction=True)
def test_an_upload_is_processed(client):
    client.force_login(User.objects.create_user("ann"))
    answer = client.post("/uploads/", {"court_id": "c", "sha1": "s"})
    assert answer.status_code == 201
    assert Upload.objects.get().status == "done"
