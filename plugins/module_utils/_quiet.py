# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose arguments hold secrets."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


class Quiet(AnsibleModule):
    """Its arguments are not written to the host's journal: there a secret of several lines is escaped before it is masked, and so is not found."""

    def _log_invocation(self):
        pass
