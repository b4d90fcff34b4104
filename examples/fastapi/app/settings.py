"""Configuration from the environment, or from files named by <NAME>_FILE."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url


class ConfigurationError(Exception):
    """Everything that is wrong with the configuration, in one message."""


@dataclass(frozen=True)
class Settings:
    database_url: str
    redis_url: str
    broker_url: str
    s3_endpoint_url: str
    s3_bucket: str
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_region: str = "us-east-1"
    version: str = "unknown"
    release: str = "unknown"
    environment: str = "dev"
    tasks_always_eager: bool = False
    tick_seconds: int = 10
    cache_ttl_seconds: int = 30
    cache_prefix: str = "items:"
    max_upload_bytes: int = 100 * 1024 * 1024


def driver_url(url: str) -> str:
    """The URL with the psycopg driver named: postgresql://… does not say which one to use."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _switch(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


@dataclass(frozen=True)
class _Variable:
    name: str
    field: str
    required: bool = False
    convert: Callable[[str], Any] = str
    allowed: str = ""
    secret: bool = False


_VARIABLES = (
    _Variable("DATABASE_URL", "database_url", True, driver_url, "postgresql://user:password@host:5432/name", True),
    _Variable("REDIS_URL", "redis_url", True),
    _Variable("CELERY_BROKER_URL", "broker_url", True),
    _Variable("S3_ENDPOINT_URL", "s3_endpoint_url", True),
    _Variable("S3_BUCKET", "s3_bucket", True),
    _Variable("AWS_ACCESS_KEY_ID", "aws_access_key_id", True),
    _Variable("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key", True),
    _Variable("AWS_REGION", "aws_region"),
    _Variable("APP_VERSION", "version"),
    _Variable("APP_RELEASE", "release"),
    _Variable("APP_ENVIRONMENT", "environment"),
    _Variable("CELERY_TASK_ALWAYS_EAGER", "tasks_always_eager", False, _switch, "1 or 0"),
    _Variable("TICK_SECONDS", "tick_seconds", False, _positive, "a whole number from 1"),
    _Variable("CACHE_TTL_SECONDS", "cache_ttl_seconds", False, _positive, "a whole number from 1"),
    _Variable("CACHE_PREFIX", "cache_prefix"),
    _Variable("MAX_UPLOAD_BYTES", "max_upload_bytes", False, _positive, "a whole number from 1"),
)


def _read(variable: _Variable, environ: Mapping[str, str], problems: list[str]) -> str:
    path = environ.get(f"{variable.name}_FILE", "")
    if variable.name in environ or not path:
        return environ.get(variable.name, "")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        problems.append(f"{variable.name}_FILE={path} cannot be read ({error.strerror})")
        return "-"  # reported already: not missing as well


def _values(variables: tuple[_Variable, ...], environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    missing: list[str] = []
    problems: list[str] = []
    for variable in variables:
        reported = len(problems)
        text = _read(variable, environ, problems)
        if not text and variable.required:
            missing.append(variable.name)
        elif text and len(problems) == reported:
            try:
                values[variable.field] = variable.convert(text)
            except Exception:
                shown = "the value given" if variable.secret else repr(text)
                problems.append(f"{variable.name}: {shown} is not {variable.allowed}")
    if missing:
        problems.insert(0, f"missing {', '.join(missing)} (each may also be a file, named by <NAME>_FILE)")
    if problems:
        raise ConfigurationError("configuration: " + "; ".join(problems))
    return values


def load(environ: Mapping[str, str]) -> Settings:
    return Settings(**_values(_VARIABLES, environ))


def load_database_url(environ: Mapping[str, str]) -> str:
    """What a migration needs, and nothing else."""
    return _values(_VARIABLES[:1], environ)["database_url"]


@lru_cache
def settings() -> Settings:
    """The configuration of this process; ends the process with one message when it is wrong."""
    try:
        return load(os.environ)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
