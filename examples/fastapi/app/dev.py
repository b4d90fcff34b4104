"""`uvicorn --reload` with a quick restart: `python -m app.dev`.

Most of a start is the import of libraries, which an edit does not change. So each start is a fork of a helper process
that has them already, where uvicorn would begin with an empty interpreter.
"""

from __future__ import annotations

import multiprocessing
import os

import uvicorn

_LIBRARIES = [
    "alembic",
    "boto3",
    "celery.app",
    "celery.beat",
    "fastapi",
    "psycopg",
    "redis",
    "sqlalchemy.orm",
    "uvicorn",
]


def main() -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LIBRARIES)
    # uvicorn has no option for it. Where this name is gone, a start takes as long as before, and nothing else happens.
    uvicorn._subprocess.spawn = context
    uvicorn.run(
        "app.main:app",
        host="0.0.0.0",
        port=int(os.environ.get("PORT", "8000")),
        log_config="app/logging.json",
        reload=True,
        reload_dirs=["app"],
        timeout_graceful_shutdown=1,  # a slow request does not hold back the edit
    )


if __name__ == "__main__":
    main()
