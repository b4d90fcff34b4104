from __future__ import annotations

import pytest

from app.settings import ConfigurationError, load, load_database_url

COMPLETE = {
    "DATABASE_URL": "postgresql://user:p%25w%2Fd@db:5432/example",
    "REDIS_URL": "redis://cache:6379/0",
    "CELERY_BROKER_URL": "amqp://broker:5672/example",
    "S3_ENDPOINT_URL": "http://s3:8333",
    "S3_BUCKET": "example",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def without(*names):
    return {name: value for name, value in COMPLETE.items() if name not in names}


def test_every_missing_variable_is_named_in_one_message():
    with pytest.raises(ConfigurationError) as error:
        load({"S3_BUCKET": "example", "REDIS_URL": ""})
    for name in without("S3_BUCKET"):
        assert name in str(error.value)
    assert "S3_BUCKET" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_value_can_come_from_a_file_that_ends_with_a_newline(tmp_path):
    path = tmp_path / "key"
    path.write_text("from-file\n")
    settings = load({**without("AWS_SECRET_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY_FILE": str(path)})
    assert settings.aws_secret_access_key == "from-file"  # noqa: S105 (no real one)


def test_a_file_that_cannot_be_read_is_named_once(tmp_path):
    path = tmp_path / "absent"
    with pytest.raises(ConfigurationError) as error:
        load({**without("DATABASE_URL"), "DATABASE_URL_FILE": str(path)})
    assert f"DATABASE_URL_FILE={path}" in str(error.value)
    assert "missing" not in str(error.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_database_url_names_the_driver_and_keeps_its_password(scheme):
    url = COMPLETE["DATABASE_URL"].replace("postgresql", scheme)
    assert load_database_url({"DATABASE_URL": url}) == "postgresql+psycopg://user:p%25w%2Fd@db:5432/example"


def test_a_wrong_value_is_shown_with_what_is_allowed():
    with pytest.raises(ConfigurationError, match="TICK_SECONDS: '0' is not a whole number from 1"):
        load({**COMPLETE, "TICK_SECONDS": "0"})


def test_a_wrong_database_url_is_not_shown():
    with pytest.raises(ConfigurationError) as error:
        load({**COMPLETE, "DATABASE_URL": "user:hunter2@db"})
    assert "DATABASE_URL" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_what_is_not_given_has_a_default():
    settings = load(COMPLETE)
    assert settings.tick_seconds == 10
    assert settings.tasks_always_eager is False
