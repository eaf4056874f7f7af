from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import post_delete, post_save

from .models import CachedValue, Device


class Indexer:
    model = Device
    fields = (("name", 100), ("serial", 60), ("comments", 5000))

    def to_cache(self, instance):
        for field, weight in self.fields:
            value = getattr(instance, field)
            if value:
                yield field, weight, str(value)


class SearchBackend:
    def __init__(self):
        self.indexers = {Device: Indexer()}
        post_save.connect(self.caching_handler, sender=Device)
        post_delete.connect(self.removal_handler, sender=Device)

    def caching_handler(self, sender, instance, created, **kwargs):
        self.cache(instance, remove_existing=not created)

    def removal_handler(self, sender, instance, **kwargs):
        self.remove(type(instance), instance.pk)

    def cache(self, instance, remove_existing: bool = True) -> None:
        if remove_existing:
            self.remove(type(instance), instance.pk)
        kind = ContentType.objects.get_for_model(type(instance))
        CachedValue.objects.bulk_create(
            CachedValue(kind=kind, object_id=instance.pk, field=field, weight=weight, value=value)
            for field, weight, value in self.indexers[type(instance)].to_cache(instance)
        )

    def remove(self, model, pk: int) -> None:
        kind = ContentType.objects.get_for_model(model)
        CachedValue.objects.filter(kind=kind, object_id=pk).delete()


search_backend = SearchBackend()
