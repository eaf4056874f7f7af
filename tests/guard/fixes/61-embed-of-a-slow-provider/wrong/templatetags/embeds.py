from django import template
from django.utils.safestring import mark_safe

from ..finders import EmbedNotFound, get_embed

register = template.Library()


@register.simple_tag(name="embed")
def embed_tag(url, max_width=None):
    try:
        return mark_safe(get_embed(url, max_width).html)
    except EmbedNotFound:
        return ""
