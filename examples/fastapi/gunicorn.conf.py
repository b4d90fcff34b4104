from __future__ import annotations

import os
import tempfile
from typing import Any

from app import logs
from app.settings import settings

settings()  # a wrong configuration ends here, once, not in every worker

# The workers share their metrics through files here. Set before anything imports prometheus_client, which looks once.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="metrics-"))

wsgi_app = "app.main:app"
bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
worker_class = "uvicorn_worker.UvicornWorker"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
preload_app = True  # imported once: a faster start, and the workers share that memory
timeout = 30
graceful_timeout = 25  # below the container's stop grace of 30 s
keepalive = 125  # longer than a proxy keeps idle connections (Caddy: 120 s), so that the proxy is the one to close them
forwarded_allow_ips = "*"  # only the proxy's network reaches this port
control_socket_disable = True  # the root is read-only, and the container is controlled from outside
logconfig_dict = logs.CONFIG


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
