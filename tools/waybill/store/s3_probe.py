"""What an S3 server must do for us, tried on the server itself before it becomes a store."""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import google_crc32c
from botocore.exceptions import ClientError

from waybill.digest import PIECE
from waybill.errors import BadValue
from waybill.store import layout

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PAGE = 2
_MANY = 2 * _PAGE + 1
"""More than two pages: the second is asked for with the first one's token, the third with its."""


def probe(client: S3Client, bucket: str, prefix: str) -> bool:
    """Whether conditional writes hold. Raises BadValue for a server that no store can use."""
    probe = _Probe(client, bucket, f"{prefix}{layout.UPLOADS}probe-{uuid.uuid4()}/")
    try:
        probe.ranges()
        probe.checksums()
        probe.listing()
        probe.parts()
        return probe.conditional()
    finally:
        probe.clean()


class _Probe:
    def __init__(self, client: S3Client, bucket: str, place: str) -> None:
        self._client, self._bucket, self._place = client, bucket, place

    def _call(self, operation: str, name: str, **arguments: Any) -> Any:
        key = self._place + name
        return getattr(self._client, operation)(Bucket=self._bucket, Key=key, **arguments)

    def _refused(self, operation: str, name: str, **arguments: Any) -> bool:
        """Whether the server answers with a precondition failure or a wrong digest."""
        try:
            self._call(operation, name, **arguments)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 409, 412):
                return True
            raise
        return False

    def _need(self, holds: bool, what: str) -> None:
        if not holds:
            raise BadValue(what="store server", value=self._bucket, why=f"it lacks {what}")

    def ranges(self) -> None:
        self._call("put_object", "range", Body=b"0123456789")
        answer = self._call("get_object", "range", Range="bytes=2-4")
        self._need(answer["Body"].read() == b"234", "ranged reads")

    def checksums(self) -> None:
        wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        refused = self._refused("put_object", "sum", Body=b"bytes", ChecksumSHA256=wrong)
        self._need(refused, "SHA-256 checksums of uploads")

    def listing(self) -> None:
        for number in range(_MANY):
            self._call("put_object", f"list/{number}", Body=b"")
        whole = len(self._keys("list/", _PAGE)) == _MANY
        self._need(whole, "listings in pages, whole as soon as the keys are written")

    def parts(self) -> None:
        """A part of 64 MiB with either checksum, listed with it, found by its exact key."""
        for algorithm, size in (("CRC32C", 1), ("SHA256", PIECE)):
            upload = self._upload("part", bytes(size), algorithm)
            told = self._call("list_parts", "part", UploadId=upload["UploadId"])
            self._need(f"Checksum{algorithm}" in told["Parts"][0], "checksums in ListParts")
        found = self._client.list_multipart_uploads(
            Bucket=self._bucket, Prefix=self._place + "part"
        )
        self._need(bool(found.get("Uploads")), "a list of unfinished uploads")
        for each in found["Uploads"]:
            self._call("abort_multipart_upload", "part", UploadId=each["UploadId"])

    def conditional(self) -> bool:
        """Whether conditions hold; a server that refuses the headers outright is of no use."""
        try:
            return self._conditional_put() and self._conditional_complete()
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self._need(status != 501, "the If-Match and If-None-Match headers")
            raise

    def _conditional_put(self) -> bool:
        first = self._call("put_object", "once", Body=b"1", IfNoneMatch="*")
        again = self._refused("put_object", "once", Body=b"2", IfNoneMatch="*")
        self._call("put_object", "once", Body=b"3", IfMatch=first["ETag"])
        return again and self._refused("put_object", "once", Body=b"4", IfMatch=first["ETag"])

    def _conditional_complete(self) -> bool:
        upload = self._upload("once", b"5")
        refused = self._refused("complete_multipart_upload", "once", **upload, IfNoneMatch="*")
        if refused:
            self._call("abort_multipart_upload", "once", UploadId=upload["UploadId"])
        return refused

    def _upload(self, name: str, data: bytes, algorithm: str = "SHA256") -> dict[str, Any]:
        created = self._call("create_multipart_upload", name, ChecksumAlgorithm=algorithm)
        crc = google_crc32c.value(data).to_bytes(4)
        sums = {"SHA256": hashlib.sha256(data).digest(), "CRC32C": crc}
        checksum = {f"Checksum{algorithm}": base64.b64encode(sums[algorithm]).decode()}
        part = self._call(
            "upload_part",
            name,
            UploadId=created["UploadId"],
            PartNumber=1,
            Body=data,
            **checksum,
        )
        done = {"PartNumber": 1, "ETag": part["ETag"], **checksum}
        return {"UploadId": created["UploadId"], "MultipartUpload": {"Parts": [done]}}

    def _keys(self, below: str, page: int = 1000) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._place + below, PaginationConfig={"PageSize": page}
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def clean(self) -> None:
        if chosen := [{"Key": key} for key in self._keys("")]:
            self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": chosen})  # type: ignore[typeddict-item]
