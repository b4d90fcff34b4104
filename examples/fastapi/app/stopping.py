"""What would go on for ever ends when the server is told to stop, or the server would wait until it is killed."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from fastapi import FastAPI

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """`app.state.stopping` is set as soon as the process is told to end; the server says it only when all is closed."""
    app.state.stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    with _told(lambda: loop.call_soon_threadsafe(app.state.stopping.set)):
        yield


@contextmanager
def _told(tell: Callable[[], object]) -> Iterator[None]:
    """Beside whoever has the signals; that is the server, which is started already."""
    if threading.current_thread() is not threading.main_thread():
        yield  # a test runs it: nobody can send a signal to this thread
        return

    def beside(former: object) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            tell()
            if callable(former):
                former(number, frame)

        return handle

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, former in before.items():
        signal.signal(number, beside(former))
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
