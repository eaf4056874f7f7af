"""`manage.py tokens`: list the API tokens, rotate one, revoke one."""

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from offload.access.models import ApiToken

# Long enough for a deploy of whoever uses the token.
DEFAULT_OVERLAP_HOURS = 24.0
MAX_OVERLAP_HOURS = 24.0 * 365


class Command(BaseCommand):
    help = "List the API tokens, rotate one, or revoke one. `createtoken` makes one."

    def add_arguments(self, parser: CommandParser) -> None:
        words = parser.add_subparsers(dest="word", required=True, metavar="WORD")
        words.add_parser("list", help="id, owner, scope, end and last use of each token")
        rotate = words.add_parser(
            "rotate", help="print a new token; the old one is valid for some hours more"
        )
        rotate.add_argument("id", type=int, help="the old token's, as `list` shows it")
        rotate.add_argument(
            "--hours",
            type=_hours,
            default=DEFAULT_OVERLAP_HOURS,
            help="the old token is valid for so long (default: %(default)g)",
        )
        revoke = words.add_parser("revoke", help="delete a token: within a second it opens nothing")
        revoke.add_argument("id", type=int, help="as `list` shows it")

    def handle(self, *args: Any, word: str, **options: Any) -> None:
        try:
            match word:
                case "list":
                    self._list()
                case "rotate":
                    self._rotate(options["id"], timedelta(hours=options["hours"]))
                case "revoke":
                    # One by one, so that it is logged.
                    ApiToken.objects.get(pk=options["id"]).delete()
        except ApiToken.DoesNotExist:
            raise CommandError(
                f"There is no valid token {options['id']}: `manage.py tokens list` shows all."
            ) from None

    def _list(self) -> None:
        for token in ApiToken.objects.order_by("owner", "pk").iterator():
            end = f"{token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "never"
            used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
            self.stdout.write(
                f"{token.pk:>6}  {token.owner}  ({token.scope}; expires: {end}; last used: {used})"
            )

    def _rotate(self, pk: int, overlap: timedelta) -> None:
        made, token = ApiToken.rotate(pk, overlap)
        self.stdout.write(token)
        # Its own end may be sooner.
        rest = (
            f"valid for at most {overlap / timedelta(hours=1):g} hours more"
            if overlap
            else "revoked"
        )
        self.stderr.write(
            f"This is token {made.pk} of {made.owner}, shown only now; token {pk} is {rest}"
        )


def _hours(text: str) -> float:
    """A number of hours from 0.

    Raises:
        ArgumentTypeError: it is no such number.
    """
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= MAX_OVERLAP_HOURS:
        raise ArgumentTypeError(f"write hours from 0 to {MAX_OVERLAP_HOURS:g}, not {text!r}")
    return hours
