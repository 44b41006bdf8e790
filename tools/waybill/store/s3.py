"""A store in an S3 bucket: conditional writes, multipart uploads that any machine can go on with.

S3 part n of a blob is the bytes from (n - 1) * 64 MiB. Each part is sent with a checksum, which
the server checks and ListParts reports, so a part that is there already is used only if that is
the checksum of the bytes at hand: CRC-32C, as the SHA-256 of the whole blob is checked, too,
before CompleteMultipartUpload lets the key appear; or SHA-256, where a trusted signature names
the digests of the parts and proves the whole by them.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import boto3
import botocore.exceptions
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader

from waybill import digest as digests
from waybill.errors import Corrupt, PruneHeldUp, StoreUnreachable, WaybillError
from waybill.manifest import Descriptor
from waybill.store import layout
from waybill.store.base import Advance, Backend, Content, Stat, again
from waybill.store.s3_copy import copy
from waybill.store.s3_errors import ABSENT, LOST, PAST_END, code_of, translated
from waybill.store.s3_patience import Body, be_patient, keep_alive
from waybill.store.s3_probe import probe
from waybill.store.s3_signed import Expired, send_signed
from waybill.store.s3_upload import CHECKED, IN_FLIGHT, Target, put, sha256_header

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_APPEARING = (0.0, 0.5, 1.0, 2.0)
"""Seconds: an upload that another writer completes is gone a moment before its blob is there, and
to begin anew is to send all of it again."""
_ANSWER = 60.0
"""Seconds without a byte after which an answer is not waited for any more."""
_LOADER = Loader()
"""What botocore knows of S3, read once for all clients: 0.1 s for each further one."""


class S3Backend:
    """Keys below `prefix` of one bucket. Clients are made once and shared by all threads."""

    in_place = True

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        profile: str | None = None,
        ca_bundle: str | None = None,
        public_endpoint: str | None = None,
    ) -> None:
        self.bucket = bucket
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint, self._public = endpoint, public_endpoint or endpoint
        self._profile, self._ca_bundle = profile, ca_bundle
        self._clients: dict[str | None, S3Client] = {}
        self._lock, self._loads = threading.Lock(), 0
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="s3-part")

    @property
    def place(self) -> str:
        return f"{self.url} at {self.client.meta.endpoint_url.rstrip('/')}"

    @property
    def client(self) -> S3Client:
        return self._made(self._endpoint)

    def _made(self, endpoint: str | None) -> S3Client:
        with self._lock, translated(self):
            if endpoint not in self._clients:
                self._clients[endpoint] = self._client(endpoint)
            return self._clients[endpoint]

    def _client(self, endpoint: str | None) -> S3Client:
        core = botocore.session.Session(profile=self._profile)
        core.register_component("data_loader", _LOADER)
        session = boto3.session.Session(botocore_session=core)
        config = Config(
            signature_version="s3v4",
            # The signed x-amz-checksum-sha256 header covers the body; a second hash would not.
            s3={
                "payload_signing_enabled": False,
                "addressing_style": "path" if endpoint else "auto",
            },
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=5,
            read_timeout=_ANSWER,
            max_pool_connections=32,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client: S3Client = session.client(
            "s3",
            endpoint_url=endpoint,
            config=config,
            verify=self._ca_bundle,
            region_name=session.region_name or "us-east-1",
        )
        keep_alive(client)
        be_patient(client, lambda: self._loads > 0)
        return client

    @contextmanager
    def loading(self) -> Iterator[None]:
        with self._lock:
            self._loads += 1
        try:
            yield
        finally:
            with self._lock:
                self._loads -= 1

    # Small objects.

    def stat(self, key: str) -> Stat | None:
        head = self._optional("head_object", Key=self._prefix + key)
        if head is None:
            return None
        checked, modified = CHECKED in head["Metadata"], head["LastModified"].timestamp()
        return Stat(key, head["ContentLength"], checked, modified)

    def read(self, key: str) -> bytes | None:
        found = self._get(key)
        return found[0] if found else None

    def _get(self, key: str, tries: int = 4) -> tuple[bytes, str] | None:
        answer = self._optional("get_object", Key=self._prefix + key)
        if answer is None:
            return None
        try:
            with translated(self):
                return answer["Body"].read(), answer["ETag"]
        except StoreUnreachable as error:
            if tries == 1:
                raise self._lost(key, 0) or error from None
        # Cut in the middle. From its start: by now it may be another object.
        return self._get(key, tries - 1)

    def open(self, key: str, offset: int, length: int) -> IO[bytes] | None:
        if length <= 0:
            return io.BytesIO() if self.stat(key) else None

        def body(at: int) -> Any:
            span = f"bytes={offset + at}-{offset + length - 1}"
            answer = self.client.get_object(Bucket=self.bucket, Key=self._prefix + key, Range=span)
            return answer["Body"]

        try:
            with translated(self, keep=ABSENT | PAST_END):
                lost = partial(self._lost, key)
                return Body(self, body(0), body, lost)  # type: ignore[return-value]
        except botocore.exceptions.ClientError as error:
            return io.BytesIO() if code_of(error) in PAST_END else None

    def _lost(self, key: str, at: int) -> Corrupt | None:
        """What is wrong where the server gives nothing of this object, but others: its disk."""
        try:
            with translated(self):
                known = self.client.get_object(Bucket=self.bucket, Key=self._prefix + layout.STORE)
                known["Body"].read()
        except (WaybillError, botocore.exceptions.ClientError):
            return None
        name = key.replace(layout.BLOBS, "sha256:")
        found = f"a server that can read none from {at} on"
        return Corrupt(what=f"{name} in {self.url}", expected="its bytes", found=found)

    def create(self, key: str, data: bytes) -> bool:
        return self._put_if(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, expected: bytes | None) -> bool:
        found = self._get(key)
        if (found[0] if found else None) != expected:
            return False
        condition = {"IfMatch": found[1]} if found else {"IfNoneMatch": "*"}
        # A retry after a lost answer finds our own write in place.
        return self._put_if(key, data, **condition) or self.read(key) == data

    def _put_if(self, key: str, data: bytes, **condition: str) -> bool:
        try:
            with translated(self, keep=LOST | ABSENT):
                self.client.put_object(
                    Bucket=self.bucket,
                    Key=self._prefix + key,
                    Body=data,
                    ChecksumSHA256=sha256_header(digests.of(data)),
                    **condition,  # type: ignore[arg-type]
                )
        except botocore.exceptions.ClientError as error:
            # A retry after a lost answer finds our own write in place.
            retried = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            return retried and self.read(key) == data
        return True

    def _optional(self, operation: str, **arguments: Any) -> Any:
        """The answer, or None when there is no such key."""
        try:
            with translated(self, keep=ABSENT):
                return getattr(self.client, operation)(Bucket=self.bucket, **arguments)
        except botocore.exceptions.ClientError:
            return None

    def delete(self, key: str, until: float) -> bool:
        # The server counts from the date of the signature, so a wrong clock here changes nothing.
        seconds = int(until - time.time())
        if seconds < 1:
            raise PruneHeldUp(url=self.url)
        with translated(self):
            url = self.client.generate_presigned_url(
                "delete_object",
                Params={"Bucket": self.bucket, "Key": self._prefix + key},
                ExpiresIn=seconds,
            )
            try:
                send_signed(self.client, "DELETE", url)
            except Expired as error:
                raise PruneHeldUp(url=self.url) from error
        return True

    def now(self) -> float:
        with translated(self):
            try:
                headers: Any = self.client.head_bucket(Bucket=self.bucket)["ResponseMetadata"]
            except botocore.exceptions.ClientError as error:
                # A refusal is dated, too, unless it is not the server's own.
                headers = error.response["ResponseMetadata"]
                if "date" not in headers["HTTPHeaders"]:
                    raise
            return parsedate_to_datetime(headers["HTTPHeaders"]["date"]).timestamp()

    def list(self, prefix: str) -> Iterator[Stat]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._prefix + prefix
        )
        with translated(self):
            for page in pages:
                for entry in page.get("Contents", []):
                    key, modified = entry["Key"], entry["LastModified"].timestamp()
                    yield Stat(key.removeprefix(self._prefix), entry["Size"], modified=modified)

    def room(self, blobs: Sequence[Descriptor]) -> int | None:  # noqa: ARG002 - S3 has no word for it
        return None

    def probe(self) -> bool:
        with translated(self):
            return probe(self.client, self.bucket, self._prefix)

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002
        return None

    def presign(
        self, key: str, expires: int, headers: dict[str, str], inside: bool = False
    ) -> str | None:
        signer = self._made(self._endpoint if inside else self._public)
        with translated(self):
            return signer.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self.bucket,
                    "Key": self._prefix + key,
                    "ResponseContentType": headers["content-type"],
                    "ResponseContentDisposition": headers["content-disposition"],
                },
                ExpiresIn=expires,
            )

    def upload(
        self,
        key: str,
        blob: Descriptor,
        content: Content,
        advance: Advance,
        replace: bool = False,
    ) -> bool:
        target = Target(self.client, self.bucket, self._prefix + key, self._pool, replace)
        with translated(self, what=f"the content of {blob.digest}"):
            try:
                return put(target, blob, content, advance)
            except botocore.exceptions.ClientError as error:
                if code_of(error) not in LOST:
                    raise
                # Another writer finished the same blob (never the damaged one that is to go), …
                if not replace and _appears(target):
                    return False
                # … or the server dropped our unfinished upload: begin anew, once.
                return put(target, blob, content, again(advance))

    def copy(self, key: str, blob: Descriptor, origin: Backend, advance: Advance) -> bool:
        if not isinstance(origin, S3Backend) or not self._is_beside(origin):
            return False
        target = Target(self.client, self.bucket, self._prefix + key, self._pool)
        place = {"Bucket": origin.bucket, "Key": origin._prefix + key}
        with translated(self, what=f"the content of {blob.digest}"):
            try:
                return copy(target, place, blob, advance)
            except botocore.exceptions.ClientError as error:
                if code_of(error) not in LOST:
                    raise
                # Another writer's blob is there meanwhile, or our unfinished copy is not.
                return _appears(target)

    def _is_beside(self, other: S3Backend) -> bool:
        """Whether one server answers for both."""
        return bool(self.client.meta.endpoint_url == other.client.meta.endpoint_url)


def _appears(target: Target) -> bool:
    """Whether another writer's blob is there; what we had begun ends then."""
    for pause in _APPEARING:
        time.sleep(pause)
        if target.is_there():
            target.clear()
            return True
    return False
