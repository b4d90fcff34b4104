"""Health checks for inside a container, where there is no curl. Standard library only: it runs every few seconds.

python -m app.healthcheck                          the web process answers /health
python -m app.healthcheck http://127.0.0.1:8001/   so does another server
python -m app.healthcheck worker                   the worker (or beat) said that it is alive not long ago
"""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

_STALE_SECONDS = 30


def _alive_file(process: str) -> Path:
    return Path(tempfile.gettempdir(), f"{process}-alive")


def say_alive(process: str) -> None:
    _alive_file(process).touch()


def _check_process(process: str) -> str:
    try:
        age = time.time() - _alive_file(process).stat().st_mtime
    except FileNotFoundError:
        return f"{process} has not started"
    return "" if age < _STALE_SECONDS else f"{process} was last alive {age:.0f} s ago"


def _check_http(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=3)
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except OSError as error:
        return f"{url}: {error}"
    finally:
        connection.close()
    return "" if status == http.HTTPStatus.OK else f"{url}: status {status}"


def main(arguments: list[str]) -> str:
    """Nothing when healthy, else the reason."""
    target = arguments[0] if arguments else f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health"
    return _check_http(target) if target.startswith("http://") else _check_process(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
