from __future__ import annotations

import json
import logging
import sys

import pytest

from app import logs


def formatted(**options):
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "said %s", ("hello\nyou",), None)
    record.__dict__.update(options)
    return logs.JsonFormatter().format(record)


def test_a_record_is_one_line_of_json_with_its_fields():
    text = formatted(fields={"status": 200})
    assert "\n" not in text
    line = json.loads(text)
    assert line["message"] == "said hello\nyou"
    assert line["level"] == "info"
    assert line["status"] == 200
    assert "request_id" not in line


def test_a_record_of_a_request_carries_its_id():
    token = logs.request_id.set("abc")
    try:
        assert json.loads(formatted())["request_id"] == "abc"
    finally:
        logs.request_id.reset(token)


def test_an_exception_stays_in_its_line():
    try:
        raise ValueError("broken")
    except ValueError:
        text = formatted(exc_info=sys.exc_info())
    assert "\n" not in text
    assert "ValueError: broken" in json.loads(text)["exception"]


def test_a_harmless_request_id_is_kept():
    assert logs.accept_request_id("Abc-1.2_3") == "Abc-1.2_3"


@pytest.mark.parametrize("given", ["", "a b", "a\nb", 'a"b', "x" * 129])
def test_any_other_request_id_is_replaced(given):
    assert logs.accept_request_id(given) not in ("", given)
