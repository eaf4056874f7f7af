from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings

from . import contexts


class AnalyticsMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self._is_coroutine = iscoroutinefunction(get_response)
        if self._is_coroutine:
            markcoroutinefunction(self)
        self.extra_tags = getattr(settings, "ANALYTICS_EXTRA_TAGS", None)

    def __call__(self, request):
        if self._is_coroutine:
            return self.__acall__(request)
        with contexts.new_context():
            for key, value in self.extract_tags(request).items():
                contexts.tag(key, value)
            return self.get_response(request)

    async def __acall__(self, request):
        with contexts.new_context():
            for key, value in self.extract_tags(request).items():
                contexts.tag(key, value)
            return await self.get_response(request)

    def extract_tags(self, request) -> dict:
        tags = {}
        user_id, email = self.extract_user(request)
        if user_id:
            contexts.identify(user_id)
        if email:
            tags["email"] = email
        tags.update(self._tags_of_headers(request))
        if self.extra_tags:
            tags.update(self.extra_tags(request) or {})
        return tags

    def extract_user(self, request) -> tuple[str | None, str | None]:
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            return None, None
        return str(user.pk), getattr(user, "email", None)

    def _tags_of_headers(self, request) -> dict:
        session_id = request.headers.get("X-Session-Id")
        tags = {"path": request.path, "method": request.method}
        if session_id:
            tags["session"] = session_id
        return tags
