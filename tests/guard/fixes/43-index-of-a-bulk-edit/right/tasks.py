from celery import shared_task

from .models import Document


@shared_task(ignore_result=True)
def reindex_documents(document_ids: list[int]) -> None:
    for document in Document.objects.filter(pk__in=document_ids).prefetch_related("labels"):
        names = " ".join(label.name for label in document.labels.all())
        document.indexed_text = f"{document.title} {document.correspondent} {names}"
        document.save(update_fields=["indexed_text"])
