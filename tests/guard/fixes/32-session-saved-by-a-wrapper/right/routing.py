from channels.auth import CookieMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

from .consumers import CartConsumer
from .sessions import SessionMiddleware

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": CookieMiddleware(
            SessionMiddleware(URLRouter([path("ws/cart/", CartConsumer.as_asgi())]))
        ),
    }
)
