"""The panel records queries, but not while a template is described."""

import pytest
from django.contrib.auth.models import User
from shop.panels import SQLPanel, TemplatesPanel


@pytest.mark.django_db
def test_queries_are_recorded():
    panel = SQLPanel()
    panel.enable()
    User.objects.count()
    assert len(panel.queries) == 1
    assert TemplatesPanel().describe({"users": User.objects.all()}) == {
        "users": "<not shown: it would query>"
    }
    assert len(panel.queries) == 1
