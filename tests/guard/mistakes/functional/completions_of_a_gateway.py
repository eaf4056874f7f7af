"""A completion is passed on from the model server."""

from django.urls import path
from shop import views

urlpatterns = [path("v1/completions", views.completions)]


async def test_the_answer_of_the_model_is_passed_on(async_client, upstream):
    upstream["text"] = "hello"
    answer = await async_client.post("/v1/completions", {}, content_type="application/json")
    assert answer.json() == {"text": "hello"}
