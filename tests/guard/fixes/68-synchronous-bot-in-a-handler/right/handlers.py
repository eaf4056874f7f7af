from asgiref.sync import sync_to_async
from django_q.tasks import async_task
from telegram import Update
from telegram.ext import CallbackContext

from .models import Post
from .notifications import announce, notify_approved

enqueue = sync_to_async(async_task)


async def approve_post(update: Update, context: CallbackContext) -> None:
    _, post_id = update.callback_query.data.split(":", 1)
    post = await Post.objects.aget(pk=int(post_id))
    if post.approved:
        await update.effective_chat.send_message(f"«{post.title}» is approved already.")
        return
    post.approved = True
    await post.asave(update_fields=["approved"])
    await update.effective_chat.send_message(f"«{post.title}» is approved.")
    await update.callback_query.edit_message_reply_markup(reply_markup=None)

    await enqueue(notify_approved, post.pk)
    await enqueue(announce, post.pk)
