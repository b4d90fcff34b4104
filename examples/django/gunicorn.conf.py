from __future__ import annotations

import os

from board import settings

wsgi_app = "board.wsgi"
bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
preload_app = True
graceful_timeout = 25  # below the container's stop grace of 30 s
keepalive = 125  # longer than a proxy keeps idle connections (Caddy: 120 s), so that the proxy is the one to close them
forwarded_allow_ips = "*"  # only the proxy's network reaches this port
control_socket_disable = True  # the root is read-only, and the container is controlled from outside
accesslog = "-"
access_log_format = "%(m)s %(U)s %(s)s %(M)s ms"
logconfig_dict = settings.LOGGING
