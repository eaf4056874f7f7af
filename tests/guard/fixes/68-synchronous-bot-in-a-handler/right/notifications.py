from django.conf import settings

from .models import Post
from .proxy import sync_bot


def send(chat_id: int, text: str) -> None:
    sync_bot.send_message(chat_id=chat_id, text=text, read_timeout=10)


def notify_approved(post_id: int) -> None:
    post = Post.objects.select_related("author").get(pk=post_id)
    if post.author.telegram_id:
        send(post.author.telegram_id, f"Your post «{post.title}» was approved.")


def announce(post_id: int) -> None:
    post = Post.objects.get(pk=post_id)
    send(settings.CLUB_CHAT_ID, f"New post: {post.title}")
