import functools
import inspect

from .permissions import PermissionDenied


class Controller:
    permission_classes: tuple = ()

    def __init__(self, request):
        self.request = request

    def check_permissions(self) -> None:
        for permission_class in self.permission_classes:
            if not permission_class().has_permission(self.request, self):
                raise PermissionDenied


class RouteFunction:
    def __init__(self, controller_class: type[Controller], method):
        self.controller_class = controller_class
        self.method = method

    def as_view(self):
        @functools.wraps(self.method)
        def view(request, **kwargs):
            controller = self.controller_class(request)
            controller.check_permissions()
            return self.method(controller, **kwargs)

        return view


class AsyncRouteFunction(RouteFunction):
    def as_view(self):
        @functools.wraps(self.method)
        async def view(request, **kwargs):
            controller = self.controller_class(request)
            controller.check_permissions()
            return await self.method(controller, **kwargs)

        return view


def route(controller_class: type[Controller], name: str):
    method = getattr(controller_class, name)
    kind = AsyncRouteFunction if inspect.iscoroutinefunction(method) else RouteFunction
    return kind(controller_class, method).as_view()
