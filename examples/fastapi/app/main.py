from __future__ import annotations

import logging
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import OperationalError as DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app import logs
from app.middleware import RequestContext
from app.routes import files, items, jobs, operations, streams, ticks
from app.settings import settings
from app.stopping import lifespan

_log = logging.getLogger(__name__)
_BROKEN = {
    BotoCoreError: "storage",
    BrokerError: "broker",
    ClientError: "storage",
    DatabaseError: "database",
    PoolTimeoutError: "database",
}


def _unavailable(dependency: str) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_: Request, error: Exception) -> JSONResponse:
        _log.error("%s failed: %s", dependency, error)
        return JSONResponse({"detail": f"{dependency} is not available"}, 503, {"Retry-After": "5"})

    return answer


def create_app() -> FastAPI:
    # The interactive pages load scripts from elsewhere; /openapi.json has everything they would show.
    app = FastAPI(title="example", version=settings().version, docs_url=None, redoc_url=None, lifespan=lifespan)
    for module in (items, jobs, files, ticks, streams, operations):
        app.include_router(module.router)
    for error, dependency in _BROKEN.items():
        app.add_exception_handler(error, _unavailable(dependency))
    app.add_middleware(RequestContext)
    return app


logs.configure()
app = create_app()
