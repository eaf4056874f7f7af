from django import template
from django.utils.safestring import mark_safe

from ..models import Notice
from ..rendering import SyncLayout

register = template.Library()


def latest_notice() -> str:
    notice = Notice.objects.order_by("-pk").first()
    return notice.text if notice else "Nothing new."


@register.simple_tag
def prerendered_notice():
    with SyncLayout(latest_notice) as layout:
        return mark_safe(layout.render_now())
