"""No URLs: the nets give each case its own."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
