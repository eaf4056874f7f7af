from celery import shared_task

from .models import Bot, record_meeting

LONGEST_MEETING_SECONDS = 4 * 3600


@shared_task(
    bind=True,
    soft_time_limit=LONGEST_MEETING_SECONDS,
    time_limit=LONGEST_MEETING_SECONDS + 60,
)
def run_bot(self, bot_id: int) -> None:
    bot = Bot.objects.get(pk=bot_id)
    bot.state = Bot.State.JOINED
    bot.save(update_fields=["state"])
    bot.recording.save(f"{bot.pk}.ogg", record_meeting(bot.meeting_url), save=False)
    bot.state = Bot.State.ENDED
    bot.save()
