from django.core.exceptions import PermissionDenied


class MayViewModel:
    def has_permission(self, request, controller) -> bool:
        user = request.user
        meta = controller.model._meta
        return user.is_active and user.has_perm(f"{meta.app_label}.view_{meta.model_name}")


__all__ = ["MayViewModel", "PermissionDenied"]
