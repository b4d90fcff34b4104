from __future__ import annotations

import asyncio
import io

import pytest
from botocore.exceptions import ClientError

from app.storage import FileTooLargeError, NoSuchFileError, Storage


class Body(io.BytesIO):
    def iter_chunks(self, size):
        while chunk := self.read(size):
            yield chunk


class Bucket:
    """The part of the S3 client that is used, with its objects and its unfinished uploads in memory."""

    def __init__(self):
        self.objects = {}
        self.uploads = {}

    def put_object(self, Bucket, Key, Body):  # noqa: N803 (boto3's names)
        self.objects[Key] = Body

    def create_multipart_upload(self, Bucket, Key):  # noqa: N803 (boto3's names)
        self.uploads["1"] = {}
        return {"UploadId": "1"}

    def upload_part(self, Bucket, Key, UploadId, PartNumber, Body):  # noqa: N803 (boto3's names)
        self.uploads[UploadId][PartNumber] = Body
        return {"ETag": f"part {PartNumber}"}

    def complete_multipart_upload(self, Bucket, Key, UploadId, MultipartUpload):  # noqa: N803 (boto3's names)
        parts = self.uploads.pop(UploadId)
        assert [part["PartNumber"] for part in MultipartUpload["Parts"]] == sorted(parts)
        self.objects[Key] = b"".join(parts[number] for number in sorted(parts))

    def abort_multipart_upload(self, Bucket, Key, UploadId):  # noqa: N803 (boto3's names)
        del self.uploads[UploadId]

    def get_object(self, Bucket, Key):  # noqa: N803 (boto3's names)
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"ContentLength": len(self.objects[Key]), "Body": Body(self.objects[Key])}


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def storage(bucket):
    return Storage(bucket, "bucket", limit=100, part_bytes=10)


async def chunks_of(data, size, error=None):
    for start in range(0, len(data), size):
        yield data[start : start + size]
    if error:
        raise error


def write(storage, name, chunks):
    return asyncio.run(storage.write(name, chunks))


def read(storage, name):
    stored = storage.read(name)
    data = b"".join(stored.chunks)
    assert stored.size == len(data)
    return data


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 20, 25, 100])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_bytes_come_back_equal(storage, bucket, length, chunk):
    data = bytes(range(length))
    assert write(storage, "a", chunks_of(data, chunk)) == length
    assert read(storage, "a") == data
    assert not bucket.uploads


def test_a_file_above_the_limit_is_refused_and_nothing_is_left(storage, bucket):
    with pytest.raises(FileTooLargeError):
        write(storage, "a", chunks_of(bytes(101), 8))
    assert not bucket.objects
    assert not bucket.uploads


def test_a_sender_that_goes_away_leaves_the_old_file(storage, bucket):
    write(storage, "a", chunks_of(b"old", 8))
    with pytest.raises(ConnectionError):
        write(storage, "a", chunks_of(bytes(50), 8, ConnectionError()))
    assert read(storage, "a") == b"old"
    assert not bucket.uploads


def test_a_file_that_is_not_there_is_said_to_be_missing(storage):
    with pytest.raises(NoSuchFileError):
        storage.read("a")
