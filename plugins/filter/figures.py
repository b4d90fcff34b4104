# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small figures that configuration files need."""

from __future__ import annotations

from ansible_collections.longshore.stack.plugins.module_utils import _wiring


class FilterModule:
    def filters(self):
        return {"memory_share": _wiring.share, "rabbitmq_hash": _wiring.rabbitmq_hash}
