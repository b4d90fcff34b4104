from __future__ import annotations

import signal
from typing import Any


def on_startup(**_: Any) -> None:
    """Without a handler, the first process of a container ignores SIGTERM and is killed after the grace time."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
