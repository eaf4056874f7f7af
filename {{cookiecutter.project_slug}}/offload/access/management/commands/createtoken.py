"""`manage.py createtoken OWNER` makes an API token and shows it once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from offload.access.models import ApiToken


class Command(BaseCommand):
    help = (
        "Make an API token for OWNER and print it. "
        "It is stored as a hash and cannot be shown again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "owner", help="the token's jobs belong to this name, such as a team or a service"
        )
        parser.add_argument("--days", type=int, help="days it is valid (default: for ever)")

    def handle(self, *args: Any, owner: str, days: int | None, **options: Any) -> None:
        expiry = {"expires_at": timezone.now() + timedelta(days=days)} if days else {}
        _, token = ApiToken.make(owner, **expiry)
        self.stdout.write(token)
        self.stderr.write(
            f"Send it as: Authorization: Bearer {token[:6]}...  (owner {owner}; shown only now)"
        )
