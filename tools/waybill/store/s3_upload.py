"""Blobs into S3: one PUT up to 64 MiB, above that a multipart upload that can be gone on with.

Part n is the bytes from (n - 1) * 64 MiB, on any machine, so what an earlier try sent is
found by ListParts and used again if its checksum is that of the bytes at hand.

One SHA-256 of each byte is enough, and it costs most of what a client does. Where whom we trust has
signed the digests of the pieces, the server computes it, part by part, and nothing is hashed here.
Elsewhere it is computed here, over the whole blob, and the server compares the CRC-32C of each part
with that of the very bytes that went into it.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import google_crc32c
from botocore.exceptions import ClientError

from waybill import digest as digests
from waybill.digest import PIECE, Digest
from waybill.errors import Corrupt
from waybill.manifest import Descriptor
from waybill.store.base import Advance, Content
from waybill.store.s3_errors import ABSENT, code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PartTypeDef

CHECKED = "waybill-checked"
"""Metadata of a blob whose bytes Waybill checked on the way in."""
IN_FLIGHT = 4
_STEP = 256 << 10
"""Bytes that are read and paced at once. At the lowest rate, which all connections share, each has
to get some before its server, which waits for 20 seconds or more, hangs up."""
Opener = Callable[[int, int], IO[bytes]]
"""From offset and length to a stream."""
_Sent = tuple[str, str]
"""Checksum (as in the header) and ETag of a part that the server has."""


@dataclass
class Target:
    """Where a blob goes; `replace`: over whatever is there.

    `pool` sends the parts of all blobs of a backend.
    """

    client: S3Client
    bucket: str
    key: str
    pool: ThreadPoolExecutor
    replace: bool = False

    @property
    def condition(self) -> dict[str, str]:
        """Of the call that makes the blob visible."""
        return {} if self.replace else {"IfNoneMatch": "*"}

    def call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self.client, operation)(Bucket=self.bucket, Key=self.key, **arguments)
        except _BodyFailed as failed:
            raise failed.error from None

    def is_there(self) -> bool:
        try:
            self.client.head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            if code_of(error) in ABSENT:
                return False
            raise
        return True

    def unfinished(self, algorithm: str = "") -> str | None:
        """The newest unfinished upload of this key whose parts have checksums of this kind."""
        for upload in self._unfinished():
            with suppress(ClientError):
                found = self.call("list_parts", UploadId=upload, MaxParts=1)
                if found.get("ChecksumAlgorithm", "") == algorithm:
                    return upload
        return None

    def _unfinished(self) -> list[str]:
        """Newest first. MinIO lists only the exact key."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key)
        same = [upload for upload in found.get("Uploads", []) if upload["Key"] == self.key]
        same.sort(key=lambda upload: upload["Initiated"], reverse=True)
        return [upload["UploadId"] for upload in same]

    def complete(self, upload: str, parts: list[dict[str, Any]]) -> None:
        """Make the blob visible, and end what else was begun for it."""
        self.call(
            "complete_multipart_upload",
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            **self.condition,
        )
        self.clear()

    def clear(self) -> None:
        """Once the blob is there: end uploads of it whose beginning was never answered, and those
        of other machines, which find the blob instead. The server would keep their parts for long.
        """
        # A policy may not allow it: it is a matter of room alone.
        with suppress(ClientError):
            for upload in self._unfinished():
                self.call("abort_multipart_upload", UploadId=upload)

    def begin(self, **options: str) -> str:
        """A new upload of this key."""
        created = self.call("create_multipart_upload", Metadata={CHECKED: "sha256"}, **options)
        return str(created["UploadId"])

    def parts(self, upload: str) -> Iterator[PartTypeDef]:
        """What the server has of an unfinished upload."""
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=self.key, UploadId=upload
        )
        for page in pages:
            yield from page.get("Parts", [])


def put(target: Target, blob: Descriptor, content: Content, advance: Advance) -> bool:
    """Write the blob; False when another writer has done it meanwhile.

    Raises Corrupt, or botocore's ClientError with the server's word.
    """
    if blob.size > PIECE:
        return _Multipart(target, blob, content, advance).run()
    target.call(
        "put_object",
        Body=_Span(content.open, blob, blob.size, advance),
        ContentLength=blob.size,
        ChecksumSHA256=sha256_header(blob.digest),
        Metadata={CHECKED: "sha256"},
        **target.condition,
    )
    return True


def sha256_header(digest: Digest) -> str:
    """The value of x-amz-checksum-sha256."""
    return base64.b64encode(bytes.fromhex(digests.hex_of(digest))).decode()


@dataclass
class _Multipart:
    target: Target
    blob: Descriptor
    content: Content
    advance: Advance
    _id: str = ""

    def run(self) -> bool:
        # First, because an upload that is not there may be one that was completed just now.
        upload = self.target.unfinished(self._algorithm)
        if upload is None and not self.target.replace and self.target.is_there():
            self.advance(self.blob.size)
            return False
        self._id = upload or self.target.begin(ChecksumAlgorithm=self._algorithm)
        self._send_all()
        return True

    def _send_all(self) -> None:
        whole = hashlib.sha256()
        spans = dict(enumerate(digests.piece_spans(self.blob.size), 1))
        ahead = self._ahead(spans)
        parts: list[Future[_Sent]] = []
        try:
            for number, span in spans.items():
                data = _Piece(self.content, *span)
                parts.append(self._part(number, data, whole, ahead.get(number)))
                if len(parts) >= self._in_flight:
                    parts[-self._in_flight].result()
            if self.content.pieces is None:
                self._check(whole.hexdigest())
            self._complete([part.result() for part in parts])
        finally:
            under_way = [*parts, *ahead.values()]
            for part in under_way:
                part.cancel()
            wait(under_way)

    def _ahead(self, spans: Mapping[int, tuple[int, int]]) -> dict[int, Future[_Sent]]:
        """By number the parts that are sent while what is there already is hashed again.

        Each is what was hashed if it has that checksum, like those of an earlier try.
        """
        if self.content.pieces is not None or not (self.content.rereadable and self._sent):
            return {}
        return {
            number: self.target.pool.submit(
                self._send_unhashed, number, _Piece(self.content, *span)
            )
            for number, span in spans.items()
            if number not in self._sent
        }

    def _send_unhashed(self, number: int, data: _Piece) -> _Sent:
        return self._send(number, data.checksum(), data)

    def _part(
        self, number: int, data: _Piece, whole: hashlib._Hash, ahead: Future[_Sent] | None
    ) -> Future[_Sent]:
        """Read one piece into `whole`, unless that is proved; send it, unless the server has it."""
        if self.content.pieces is not None:
            checksum = sha256_header(self.content.pieces[number - 1])
        else:
            checksum = data.checksum(whole.update)
        sent = ahead.result() if ahead else self._sent.get(number)
        if sent is None or sent[0] != checksum:
            return self.target.pool.submit(self._send, number, checksum, data)
        if ahead is None:
            self.advance(data.length)
        known: Future[_Sent] = Future()
        known.set_result(sent)
        return known

    def _send(self, number: int, checksum: str, data: _Piece) -> _Sent:
        answer = self.target.call(
            "upload_part",
            UploadId=self._id,
            PartNumber=number,
            Body=_Span(data.open, self.blob, data.length, self.advance),
            ContentLength=data.length,
            **{self._header: checksum},
        )
        return checksum, str(answer["ETag"])

    def _check(self, found: str) -> None:
        size, what = self.blob.size, f"the content of {self.blob.digest}"
        digests.check(self.blob.digest, size, digests.from_hex(found), size, what)

    def _complete(self, parts: list[_Sent]) -> None:
        named = [
            {"PartNumber": number, "ETag": etag, self._header: checksum}
            for number, (checksum, etag) in enumerate(parts, 1)
        ]
        self.target.complete(self._id, named)

    @property
    def _algorithm(self) -> str:
        return "CRC32C" if self.content.pieces is None else "SHA256"

    @property
    def _header(self) -> str:
        return f"Checksum{self._algorithm}"

    @property
    def _in_flight(self) -> int:
        """Pieces that are buffered cost 64 MiB each, so only one of those is on its way."""
        return IN_FLIGHT if self.content.rereadable else 1

    @cached_property
    def _sent(self) -> dict[int, _Sent]:
        """Part number -> (checksum, ETag) of what an earlier try has sent."""
        return {
            part["PartNumber"]: (str(part.get(self._header, "")), part["ETag"])
            for part in self.target.parts(self._id)
        }


class _Piece:
    """64 MiB of a content: read again where that is cheap, else kept in memory."""

    def __init__(self, content: Content, offset: int, length: int) -> None:
        self._content, self._offset, self.length = content, offset, length
        self._data = b"" if content.rereadable else self._read()

    def _read(self) -> bytes:
        kept = io.BytesIO()
        with self._content.open(self._offset, self.length) as stream:
            for chunk in digests.chunks(stream):
                kept.write(chunk)
        return kept.getvalue()

    def open(self, offset: int, length: int) -> IO[bytes]:
        if self._content.rereadable:
            return self._content.open(self._offset + offset, length)
        kept = io.BytesIO(self._data)
        kept.seek(offset)
        return kept

    def checksum(self, feed: Callable[[bytes], None] = lambda _: None) -> str:
        """Their CRC-32C, as in the header; `feed` gets the very same bytes: a second reading may
        give others."""
        crc = 0
        with self.open(0, self.length) as stream:
            for chunk in digests.chunks(stream):
                feed(chunk)
                crc = google_crc32c.extend(crc, chunk)
        return base64.b64encode(crc.to_bytes(4)).decode()


class _BodyFailed(BaseException):
    """Carries an error out of a request body: botocore takes every Exception for its own."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Span(io.RawIOBase):
    """A request body. `read` may give more than asked: whole steps, not 16 KiB at a time."""

    def __init__(self, opener: Opener, blob: Descriptor, length: int, advance: Advance) -> None:
        self._opener, self._blob, self._length = opener, blob, length
        self._advance, self._told = advance, 0
        self._at = 0
        self._stream: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except Exception as error:
            raise _BodyFailed(error) from error

    def _read(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._opener(self._at, self._length - self._at)
        data: bytes = self._stream.read(_STEP if size >= 0 else self._length - self._at)
        self._at += len(data)
        if not data and self._at < self._length:
            # The server would wait for the rest until it gives up.
            what = f"the content of {self._blob.digest}"
            raise Corrupt(what=what, expected=f"{self._blob.size} bytes", found="fewer")
        if self._at > self._told:
            self._advance(self._at - self._told)
            self._told = self._at
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """A retry sends the body again from its start."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at += offset
        self.close_stream()
        return self._at

    def tell(self) -> int:
        return self._at

    def close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
