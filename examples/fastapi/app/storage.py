"""Files in S3, streamed in both directions: never a whole file in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

from app.settings import settings

PART_BYTES = 8 * 1024 * 1024  # S3 wants at least 5 MiB for every part but the last
_CHUNK_BYTES = 256 * 1024


class FileTooLargeError(Exception):
    pass


class NoSuchFileError(Exception):
    pass


@dataclass
class _Upload:
    """One object being written: a plain put when it fits in one part, else a multipart upload."""

    client: Any
    target: dict[str, str]
    upload_id: str = ""
    parts: list[dict[str, Any]] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        if not self.upload_id:
            self.upload_id = self.client.create_multipart_upload(**self.target)["UploadId"]
        number = len(self.parts) + 1
        part = self.client.upload_part(**self.target, UploadId=self.upload_id, PartNumber=number, Body=data)
        self.parts.append({"ETag": part["ETag"], "PartNumber": number})

    def finish(self, data: bytes) -> None:
        if not self.upload_id:
            self.client.put_object(**self.target, Body=data)
            return
        if data:
            self.add(data)
        self.client.complete_multipart_upload(
            **self.target, UploadId=self.upload_id, MultipartUpload={"Parts": self.parts}
        )

    def abort(self) -> None:
        if self.upload_id:
            self.client.abort_multipart_upload(**self.target, UploadId=self.upload_id)


@dataclass(frozen=True)
class StoredFile:
    size: int
    chunks: Iterator[bytes]


class Storage:
    def __init__(self, client: Any, bucket: str, limit: int, part_bytes: int = PART_BYTES) -> None:
        self._client = client
        self._bucket = bucket
        self._part_bytes = part_bytes
        self.limit = limit

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Stores all of it or nothing: a caller that goes away half-way leaves what was there before."""
        upload = _Upload(self._client, self._target(name))
        size = 0
        buffer = bytearray()
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > self.limit:
                    raise FileTooLargeError
                buffer += chunk
                while len(buffer) > self._part_bytes:
                    await asyncio.to_thread(upload.add, bytes(buffer[: self._part_bytes]))
                    del buffer[: self._part_bytes]
            await asyncio.to_thread(upload.finish, bytes(buffer))
        except BaseException:
            await asyncio.to_thread(upload.abort)
            raise
        return size

    def read(self, name: str) -> StoredFile:
        try:
            stored = self._client.get_object(**self._target(name))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise NoSuchFileError from None
            raise
        return StoredFile(stored["ContentLength"], _chunks(stored["Body"]))

    def delete(self, name: str) -> None:
        self._client.delete_object(**self._target(name))

    def check(self) -> None:
        self._client.head_bucket(Bucket=self._bucket)

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"files/{name}"}


def _chunks(body: Any) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(_CHUNK_BYTES)
    finally:
        body.close()


def _client(connect_timeout: int, read_timeout: int, attempts: int) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings().s3_endpoint_url,
        aws_access_key_id=settings().aws_access_key_id,
        aws_secret_access_key=settings().aws_secret_access_key,
        region_name=settings().aws_region,
        config=Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries={"total_max_attempts": attempts},
            s3={"addressing_style": "path"},  # a bucket is a folder of the endpoint, not a host name of its own
            request_checksum_calculation="when_required",  # S3 servers other than Amazon's may lack the newer ones
            response_checksum_validation="when_required",
        ),
    )


@lru_cache
def storage() -> Storage:
    return Storage(_client(3, 30, 2), settings().s3_bucket, settings().max_upload_bytes)


@lru_cache
def _check_storage(timeout: int) -> Storage:
    return Storage(_client(timeout, timeout, 1), settings().s3_bucket, 0)


def check(timeout: int) -> None:
    _check_storage(timeout).check()
