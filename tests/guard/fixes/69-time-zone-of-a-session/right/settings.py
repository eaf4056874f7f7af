SECRET_KEY = "only-for-development"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.sessions", "reader"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "reader.middleware.ReaderMiddleware",
]
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
ASGI_APPLICATION = "reader.asgi.application"
