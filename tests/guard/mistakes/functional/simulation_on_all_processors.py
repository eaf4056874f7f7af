"""A simulation is started, and its page is shown."""

import pytest
from django.urls import path
from shop import views
from shop.models import Simulation

urlpatterns = [
    path("simulations/<int:pk>/", views.start, name="simulation"),
    path("simulations/<int:pk>/start/", views.start),
]


@pytest.mark.django_db(transaction=True)
def test_a_simulation_has_factors(client):
    simulation = Simulation.objects.create(beams=[{"length": 1.0, "width": 2.0}])
    assert client.post(f"/simulations/{simulation.pk}/start/").status_code == 302
    simulation.refresh_from_db()
    assert len(simulation.factors) == 1
