# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import urllib.error
from contextlib import nullcontext

import pytest

from ansible_collections.longshore.stack.plugins.module_utils import _answer


class Opener:
    """Answers requests with what a test gives, one after the other, the last for ever."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def open(self, url, timeout):
        self.asked.append(url)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([nullcontext()], ""),
        ([urllib.error.URLError("refused"), urllib.error.HTTPError("u", 503, "starting", {}, None), nullcontext()], ""),
        ([urllib.error.URLError("refused")], "http://x/health: <urlopen error refused>"),
        ([urllib.error.HTTPError("u", 500, "broken", {}, None)], "http://x/health: HTTP Error 500: broken"),
    ],
    ids=["at once", "after a while", "never", "an error of the application"],
)
def test_a_container_has_some_seconds_to_answer(docker, monkeypatch, answers, reason):
    opener, began = Opener(*answers), docker.clock()
    monkeypatch.setattr(_answer.urllib.request, "build_opener", lambda *_handlers: opener)
    assert _answer.reason_of("http://x/health", None, 10.0, docker.clock, docker.sleep) == reason
    assert (docker.clock() - began >= 10) == bool(reason)
