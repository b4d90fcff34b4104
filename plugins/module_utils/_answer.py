# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container answers, asked directly and until it does."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: it leads to the edge, which is not asked here."""

    def http_error_302(self, req, fp, code, msg, headers):
        return fp

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def reason_of(url: str, host: str | None, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> str:
    """Nothing when it answers within so many seconds, else the reason of the last try. host: the name that a visitor would ask for."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    deadline, reason = clock() + seconds, ""
    while clock() < deadline:
        try:
            with opener.open(request, timeout=3):
                return ""
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = f"{url}: {error}"
        sleep(0.2)
    return reason
