"""One JSON object per line on stdout, with the id of the request that caused it."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import re
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

request_id: ContextVar[str] = ContextVar("request_id", default="")

# A file, because `uvicorn --log-config` wants one; gunicorn, Celery and Alembic use the same.
CONFIG = json.loads(Path(__file__).with_name("logging.json").read_text(encoding="utf-8"))

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure() -> None:
    logging.config.dictConfig(CONFIG)
    level = os.environ.get("LOG_LEVEL", "info").upper()
    logging.getLogger().setLevel(level if level in logging.getLevelNamesMapping() else "INFO")


def accept_request_id(given: str) -> str:
    """The caller's id if it is harmless in a log line and a header, else a new one."""
    return given if _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
