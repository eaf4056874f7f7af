"""Tokens in the admin, to be seen and revoked.

`manage.py createtoken` makes them: only a command can show the token.
"""

from django.contrib import admin
from django.http import HttpRequest

from offload.access.models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    list_display = ("owner", "created_at", "expires_at")
    readonly_fields = ("created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
