"""What happens around every request: its id, its line in the log, its place in the metrics."""

from __future__ import annotations

import logging
import time
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders

from app import logs

_requests = Counter("app_http_requests", "Requests answered", ["method", "route", "status"])
_seconds = Histogram("app_http_request_seconds", "Time until the answer was sent", ["method", "route"])
_in_progress = Gauge("app_http_requests_in_progress", "Requests now", multiprocess_mode="livesum")
_log = logging.getLogger("app.access")
_QUIET = {"/health", "/ready", "/metrics"}  # asked every few seconds by machines
_METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


class RequestContext:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = logs.accept_request_id(Headers(scope=scope).get("x-request-id", ""))
        logs.request_id.set(current)
        status = 500
        start = time.perf_counter()

        async def send_with_id(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = current
            await send(message)

        _in_progress.inc()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _in_progress.dec()
            self._account(scope, status, time.perf_counter() - start)

    @staticmethod
    def _account(scope: Any, status: int, seconds: float) -> None:
        # The route's pattern and known methods only: every other label would make a series per address or per guess.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _requests.labels(method, route, status).inc()
        _seconds.labels(method, route).observe(seconds)
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        level = logging.DEBUG if scope["path"] in _QUIET and status < 500 else logging.INFO
        _log.log(level, "%s %s", scope["method"], scope["path"], extra={"fields": fields})
