from typing import Literal

from django.db import transaction

from .models import Document, Label
from .tasks import reindex_documents


def set_correspondent(ids: list[int], correspondent: str) -> Literal["OK"]:
    changed = Document.objects.filter(pk__in=ids).exclude(correspondent=correspondent)
    affected = list(changed.values_list("pk", flat=True))
    changed.update(correspondent=correspondent)
    transaction.on_commit(lambda: reindex_documents.delay(document_ids=affected))
    return "OK"


def add_label(ids: list[int], label_id: int) -> Literal["OK"]:
    label = Label.objects.get(pk=label_id)
    missing = Document.objects.filter(pk__in=ids).exclude(labels=label)
    affected = list(missing.values_list("pk", flat=True))
    through = Document.labels.through
    through.objects.bulk_create(
        [through(document_id=pk, label_id=label.pk) for pk in affected], ignore_conflicts=True
    )
    transaction.on_commit(lambda: reindex_documents.delay(document_ids=affected))
    return "OK"


METHODS = {"set_correspondent": set_correspondent, "add_label": add_label}
