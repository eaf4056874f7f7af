from .settings import *  # noqa: F403

DEBUG = False
ALLOWED_HOSTS = ["app.example.org"]
SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True

# A new connection to the database costs tens of milliseconds here.
DATABASES["default"]["CONN_MAX_AGE"] = 60  # noqa: F405
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # noqa: F405
