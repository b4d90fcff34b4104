"""Environment of the tests, set before anything of the application is imported.

With DATABASE_URL and its companions in the environment the integration tests use those services: in a database schema,
a cache prefix and file names of their own, which they remove. Tasks always run eagerly, so no worker is needed.
"""

from __future__ import annotations

import os
import secrets

SERVICES_GIVEN = bool({"DATABASE_URL", "DATABASE_URL_FILE"} & set(os.environ))
UNIQUE = f"test_{secrets.token_hex(4)}"

_NOWHERE = {
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/nowhere",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_URL": "amqp://127.0.0.1:1//",
    "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "S3_BUCKET": "nowhere",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
}

if not SERVICES_GIVEN:
    os.environ.update(_NOWHERE)
os.environ["CELERY_TASK_ALWAYS_EAGER"] = "1"
os.environ["CACHE_PREFIX"] = f"{UNIQUE}:"
os.environ["PGOPTIONS"] = f"-c search_path={UNIQUE}"
os.environ["MAX_UPLOAD_BYTES"] = str(20 * 1024 * 1024)
