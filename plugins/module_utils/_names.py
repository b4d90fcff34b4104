# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stack's files, marks and labels are called. Apart from the code that makes them, so that who only looks for them need not carry it to a host."""

from __future__ import annotations

# Of a compose project.
COMPOSE_FILE = "compose.yaml"
STATE_FILE = ".longshore.json"
# In the root of a stack: a record of each image that it uses on this host.
IMAGES_FILE = "images.json"
# In the folder of a stack's secrets: those that nobody gave.
SECRETS_FILE = "made.json"
RELEASE_FILE = "release.json"
# In the application's directory: by process, the number of containers that an operator wants in place of the inventory's.
SCALE_FILE = "scale.json"
# Links in the application's directory to the release that serves, and to the one that served before it.
LIVE = "live"
PREVIOUS = "previous"

LABEL_STACK = "stack.longshore.name"
LABEL_SERVICE = "stack.longshore.service"
LABEL_CONFIG = "stack.longshore.config"
LABEL_RELEASE = "stack.longshore.release"
LABEL_PROCESS = "stack.longshore.process"
# The run under whose lease a one-off container works; without it nobody who releases has to do with it.
LABEL_RUN = "stack.longshore.run"
# Compose's own, of what `compose run` made.
LABEL_ONE_OFF = "com.docker.compose.oneoff"
