"""`manage.py createtoken OWNER` makes an API token and shows it once."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from offload.access.models import ApiToken
from offload.access.scopes import ALL_SCOPES

MAX_DAYS = 365 * 100


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
        parser.add_argument(
            "--scope",
            default=ALL_SCOPES,
            help="read (GET and HEAD), write (everything else), or both (default: %(default)s)",
        )

    def handle(self, *args: Any, owner: str, days: int | None, scope: str, **options: Any) -> None:
        if days is not None and not 0 < days <= MAX_DAYS:
            raise CommandError(f"--days is from 1 to {MAX_DAYS}, not {days}.")
        expires_at = timezone.now() + timedelta(days=days) if days else None
        try:
            ApiToken(owner=owner.strip(), scope=scope).full_clean(exclude=["digest"])
        except ValidationError as invalid:
            raise CommandError("; ".join(invalid.messages)) from None

        _, token = ApiToken.make(owner.strip(), scope=scope, expires_at=expires_at)
        self.stdout.write(token)
        self.stderr.write(
            f"Send it as: Authorization: Bearer {token[:6]}...  (owner {owner}; shown only now)"
        )
