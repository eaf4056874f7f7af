"""`manage.py jobs`: what failed and why; retry, cancel and discard; pause and resume."""

import getpass
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from offload.jobs.control import (
    Action,
    cancel_job,
    discard_job,
    failed_jobs,
    for_each,
    group_failures,
    pause,
    resume,
    retry_job,
)
from offload.jobs.models import Pause

# The actions on jobs, by the word that calls them.
ACTIONS: dict[str, Action] = {
    "retry": retry_job,
    "discard": discard_job,
    "cancel": cancel_job,
}


class Command(BaseCommand):
    help = "Show what failed and why, retry, cancel or discard jobs, pause and resume them."

    def add_arguments(self, parser: CommandParser) -> None:
        words = parser.add_subparsers(dest="word", required=True, metavar="WORD")
        _add_filters(words.add_parser("failed", help="what failed and why, by number"))

        for word in ("retry", "discard"):
            added = words.add_parser(word, help=f"{word} jobs by id, or failed ones by a filter")
            added.add_argument("ids", nargs="*", type=UUID, metavar="ID")
            _add_filters(added)
            added.add_argument("--all", action="store_true", help="every failed job")
            added.add_argument("--no-input", action="store_true", help="do not ask")
        cancel = words.add_parser("cancel", help="ask jobs to stop")
        cancel.add_argument("ids", nargs="+", type=UUID, metavar="ID")

        for word, text in (("pause", "begin no more jobs of"), ("resume", "begin again jobs of")):
            added = words.add_parser(word, help=f"{text} a queue or a job type")
            added.add_argument("--queue", default="")
            added.add_argument("--kind", default="", help="the job type's name")
        words.choices["pause"].add_argument("--reason", default="", help="for the other operators")
        words.add_parser("paused", help="what is paused, by whom and why")

    def handle(self, *args: Any, word: str, **options: Any) -> None:
        by = f"{getpass.getuser()} (manage.py)"
        match word:
            case "failed":
                self._show_failures(options)
            case "pause" | "resume":
                self._pause_or_resume(word, options, by)
            case "paused":
                for paused in Pause.objects.order_by("paused_at"):
                    self.stdout.write(_in_words(paused))
            case _:
                self._act(word, options, by)

    def _show_failures(self, options: dict[str, Any]) -> None:
        for group in group_failures(_filtered(options)):
            self.stdout.write(
                f"{group.count:>7}  {group.kind}: {group.error}  "
                f"(the last at {group.newest_at:%Y-%m-%d %H:%M:%S} UTC)"
            )

    def _pause_or_resume(self, word: str, options: dict[str, Any], by: str) -> None:
        queue, kind = options["queue"], options["kind"]
        if word == "resume":
            if not (queue or kind):
                raise CommandError("name a queue or a job type")
            if not resume(queue=queue, kind=kind, by=by):
                raise CommandError(f"{queue or kind} is not paused")
            return
        try:
            paused = pause(queue=queue, kind=kind, by=by, reason=options["reason"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        # After a second pause these are the name and the reason of the first one.
        self.stdout.write(f"paused: {_in_words(paused)}")

    def _act(self, word: str, options: dict[str, Any], by: str) -> None:
        filtered = any(options.get(name) for name in ("kind", "error", "owner", "all"))
        job_ids = options["ids"]
        if bool(job_ids) == filtered:
            raise CommandError("give ids of jobs, or a filter (--kind, --error, --owner, --all)")

        if filtered:
            job_ids = list(_filtered(options).values_list("pk", flat=True))
            question = f"{word} {len(job_ids)} failed jobs? [y/N] "
            if job_ids and not options["no_input"] and input(question).lower() not in ("y", "yes"):
                raise CommandError("nothing was done")

        outcome = for_each(ACTIONS[word], job_ids, by)
        self.stdout.write(f"{word}: {len(outcome.done)} jobs")
        for detail in outcome.refused.values():
            self.stderr.write(detail)
        if outcome.refused:
            raise CommandError(f"{word}: not done with {len(outcome.refused)} jobs")


def _in_words(paused: Pause) -> str:
    """What is paused, by whom, since when and why."""
    return (
        f"{paused}, by {paused.paused_by} at {paused.paused_at:%Y-%m-%d %H:%M} UTC: "
        f"{paused.reason or 'no reason given'}"
    )


def _add_filters(parser: ArgumentParser) -> None:
    for name, text in (
        ("kind", "of this job type"),
        ("error", "with this error, as `jobs failed` shows it"),
        ("owner", "of this owner"),
    ):
        parser.add_argument(f"--{name}", default="", help=f"failed jobs {text}")


def _filtered(options: dict[str, Any]) -> Any:
    return failed_jobs(**{name: options[name] for name in ("kind", "error", "owner")})
