from django.conf import settings
from django.utils.module_loading import import_string

from .models import Corpus


def _by_path(path: str):
    return import_string(path), path


def get_embedder(corpus_id: int | None = None):
    """The embedder's class and its dotted path."""
    path = None
    if corpus_id is not None:
        try:
            path = Corpus.objects.get(pk=corpus_id).preferred_embedder
        except Corpus.DoesNotExist:
            path = None
    return _by_path(path or settings.DEFAULT_EMBEDDER)


async def aget_embedder(corpus_id: int | None = None):
    path = None
    if corpus_id is not None:
        corpus = await Corpus.objects.filter(pk=corpus_id).afirst()
        path = corpus.preferred_embedder if corpus else None
    return _by_path(path or settings.DEFAULT_EMBEDDER)
