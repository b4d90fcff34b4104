"""Settings from the environment, or from files named by <NAME>_FILE."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


def given(name: str) -> str:
    path = os.environ.get(f"{name}_FILE", "")
    if name in os.environ or not path:
        return os.environ.get(name, "")
    return Path(path).read_text(encoding="utf-8").rstrip("\r\n")


def database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname,
        "PORT": parts.port or 5432,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "NAME": unquote(parts.path.lstrip("/")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 3},
    }


# Static files are collected while the image is built, where there is neither a key nor a database.
BUILDING = os.environ.get("DJANGO_BUILDING") == "1"
SECRET_KEY = "only-for-collectstatic" if BUILDING else given("SECRET_KEY")
DATABASE_URL = "" if BUILDING else given("DATABASE_URL")
if missing := [name for name in ("SECRET_KEY", "DATABASE_URL") if not BUILDING and not globals()[name]]:
    raise ImproperlyConfigured(f"missing {', '.join(missing)} (each may also be a file, named by <NAME>_FILE)")

DEBUG = given("DEBUG") == "1"
APP_VERSION = given("APP_VERSION") or "unknown"
APP_RELEASE = given("APP_RELEASE") or "unknown"

# Only the proxy reaches the container, and it passes on the hosts it has routes for; the health check asks by address.
ALLOWED_HOSTS = given("ALLOWED_HOSTS").split(",") if given("ALLOWED_HOSTS") else ["*"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = ["django.contrib.staticfiles", "board.notes"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "board.urls"
WSGI_APPLICATION = "board.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": database(DATABASE_URL)} if DATABASE_URL else {}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "board.logs.JsonFormatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.error": {"handlers": ["stdout"], "propagate": False},
        "gunicorn.access": {"handlers": ["stdout"], "propagate": False},
    },
}
