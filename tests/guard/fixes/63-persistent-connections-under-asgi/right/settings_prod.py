from .settings import *  # noqa: F403

DEBUG = False
ALLOWED_HOSTS = ["app.example.org"]
SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True

# A new connection to the database costs tens of milliseconds here.
DATABASES["default"]["OPTIONS"] = {  # noqa: F405
    "pool": {"min_size": 2, "max_size": 12, "timeout": 10}
}
