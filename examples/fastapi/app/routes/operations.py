"""What the platform and its operators ask."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.readiness import CHECKS, Readiness
from app.settings import settings

router = APIRouter()
_readiness = Readiness(CHECKS)
_info = Gauge("app_info", "The running release", ["version", "release"], multiprocess_mode="max")
_info.labels(settings().version, settings().release).set(1)


@router.get("/")
async def index() -> dict[str, object]:
    return {"name": "example", "version": settings().version, "api": "/openapi.json", "ready": "/ready"}


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers. Nothing else is asked, so that a broken dependency restarts nobody."""
    return {"status": "alive"}


@router.get("/ready")
async def ready() -> JSONResponse:
    checks = await _readiness()
    broken = [name for name, answer in checks.items() if not answer["ok"]]
    return JSONResponse({"ready": not broken, "broken": broken, "checks": checks}, 503 if broken else 200)


@router.get("/version")
async def version() -> dict[str, str]:
    return {
        "version": settings().version,
        "release": settings().release,
        "environment": settings().environment,
    }


@router.get("/slow")
async def slow(seconds: Annotated[float, Query(ge=0, le=120)] = 1) -> dict[str, float]:
    await asyncio.sleep(seconds)
    return {"seconds": seconds}


@router.get("/metrics")
def metrics() -> Response:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # several workers: any of them answers for all
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
