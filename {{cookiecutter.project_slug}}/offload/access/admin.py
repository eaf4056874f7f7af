"""Tokens in the admin, to be seen, limited and revoked.

`manage.py createtoken` and `manage.py tokens rotate` make them: only a command can show the token.
"""

from django.contrib import admin
from django.http import HttpRequest

from offload.access.models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    list_display = ("id", "owner", "scope", "created_at", "expires_at", "last_used_at")
    list_filter = ("scope",)
    search_fields = ("owner",)
    # Another owner would give the jobs of somebody else to whoever has the token.
    readonly_fields = ("owner", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
