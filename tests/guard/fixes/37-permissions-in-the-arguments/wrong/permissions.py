from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

ALL = ("add", "change", "delete", "view")


def get_permissions(wanted: dict) -> list[Permission]:
    found = []
    for model, names in wanted.items():
        content_type = ContentType.objects.get_for_model(model)
        for name in ALL if names == "*" else names:
            codename = f"{name}_{model._meta.model_name}"
            found.append(Permission.objects.get(content_type=content_type, codename=codename))
    return found
