"""Connections that stay open until the visitor goes, or the server has to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect, status
from fastapi.responses import StreamingResponse

from app.settings import settings

router = APIRouter()
EVENT_SECONDS = 1.0


@router.get("/events")
async def events(request: Request) -> StreamingResponse:
    """An event a second, and a last one called `end`: connect again, and the release that serves then answers."""
    headers = {"Cache-Control": "no-store"}
    return StreamingResponse(_events(request.app.state.stopping), media_type="text/event-stream", headers=headers)


async def _events(stopping: asyncio.Event) -> AsyncIterator[str]:
    data = json.dumps({"release": settings().release})
    while not stopping.is_set():
        yield f"data: {data}\n\n"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), EVENT_SECONDS)
    yield f"event: end\ndata: {data}\n\n"


@router.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Sends back what it gets; when the server has to stop, it says so (1001, going away) instead of breaking off."""
    await websocket.accept()
    stopped = asyncio.ensure_future(websocket.app.state.stopping.wait())
    echoing = asyncio.ensure_future(_echo(websocket))
    try:
        await asyncio.wait({stopped, echoing}, return_when=asyncio.FIRST_COMPLETED)
        if not echoing.done():
            await websocket.close(status.WS_1001_GOING_AWAY)
    finally:
        for task in (stopped, echoing):
            task.cancel()
        # Nobody awaits them any more; an error in them is still to be heard.
        await asyncio.gather(stopped, echoing, return_exceptions=True)


async def _echo(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())
