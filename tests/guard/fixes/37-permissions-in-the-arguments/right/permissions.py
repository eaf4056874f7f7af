from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

ALL = ("add", "change", "delete", "view")


async def get_permissions(wanted: dict) -> list[Permission]:
    found = []
    for model, names in wanted.items():
        content_type = await sync_to_async(ContentType.objects.get_for_model)(model)
        for name in ALL if names == "*" else names:
            codename = f"{name}_{model._meta.model_name}"
            permissions = Permission.objects.filter(content_type=content_type)
            found.append(await permissions.aget(codename=codename))
    return found
