from .handlers import api

urlpatterns = api.urls
