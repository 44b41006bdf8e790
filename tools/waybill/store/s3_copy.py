"""Blobs from bucket to bucket of one S3 server: the server copies, and nobody sends them.

The copy's parts are 64 MiB like those of an upload, so its ETag is that of the original when its
bytes are: the MD5 of a single part, or of the MD5s of all parts (Amazon S3, "Checking object
integrity"). The two are compared before the copy becomes visible. Where they differ the server's
ETags may be no MD5s, as with keys of one's own, and the blob is sent and checked instead.
"""

from __future__ import annotations

import hashlib
from typing import Any

import botocore.exceptions

from waybill import digest as digests
from waybill.digest import PIECE
from waybill.manifest import Descriptor
from waybill.store.base import Advance
from waybill.store.s3_errors import code_of
from waybill.store.s3_upload import CHECKED, Target
from waybill.store.work import parallel

SMALLEST = 8 << 20
"""Bytes below which a blob is sent with fewer requests than it is copied."""
_AT_ONCE = 4
"""Parts of a blob; nothing of them is held here."""
_CANNOT = frozenset({
    "403", "404", "AccessDenied", "AllAccessDisabled", "InvalidArgument", "InvalidRequest",
    "MethodNotAllowed", "NoSuchBucket", "NoSuchKey", "NotImplemented", "SlowDownRead",
})  # fmt: skip


def copy(target: Target, origin: dict[str, str], blob: Descriptor, advance: Advance) -> bool:
    """Copy a blob that was checked where it lies; `origin` is its Bucket and Key.

    False when this server does not do it: nothing is visible then. Goes on where an earlier copy
    stopped. Raises botocore's ClientError with what else the server says.
    """
    if blob.size < SMALLEST:
        return False
    try:
        head = target.client.head_object(Bucket=origin["Bucket"], Key=origin["Key"])
        if CHECKED not in head["Metadata"] or head["ContentLength"] != blob.size:
            return False
        return _copy(target, origin, head["ETag"].strip('"'), blob, advance)
    except botocore.exceptions.ClientError as error:
        if code_of(error) in _CANNOT:
            return False
        raise


def _copy(
    target: Target, origin: dict[str, str], wanted: str, blob: Descriptor, advance: Advance
) -> bool:
    upload = target.unfinished() or target.begin()
    etags = {
        part["PartNumber"]: part["ETag"].strip('"')
        for part in target.parts(upload)
        if part["Size"] == _length(blob, part["PartNumber"])
    }
    _fill(target, origin, upload, blob, etags, advance)
    if _whole(etags, wanted) != wanted:
        target.call("abort_multipart_upload", UploadId=upload)
        return False
    parts: list[dict[str, Any]] = [
        {"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)
    ]
    target.complete(upload, parts)
    return True


def _fill(
    target: Target,
    origin: dict[str, str],
    upload: str,
    blob: Descriptor,
    etags: dict[int, str],
    advance: Advance,
) -> None:
    """Have the parts copied that are not there, and note their ETags."""

    def one(number: int) -> None:
        offset, length = spans[number]
        answer: Any = target.call(
            "upload_part_copy",
            UploadId=upload,
            PartNumber=number,
            CopySource=origin,
            CopySourceRange=f"bytes={offset}-{offset + length - 1}",
        )
        etags[number] = answer["CopyPartResult"]["ETag"].strip('"')
        advance(length)

    spans = dict(enumerate(digests.piece_spans(blob.size), 1))
    advance(sum(length for number, (_, length) in spans.items() if number in etags))
    parallel(one, [number for number in spans if number not in etags], _AT_ONCE)


def _length(blob: Descriptor, number: int) -> int:
    return min(PIECE, blob.size - (number - 1) * PIECE)


def _whole(etags: dict[int, str], like: str) -> str:
    """The ETag of all parts together, in the form of another: `<md5>` or `<md5>-<parts>`."""
    if "-" not in like:
        return etags[1] if len(etags) == 1 else ""
    try:
        sums = b"".join(bytes.fromhex(etags[number]) for number in sorted(etags))
    except ValueError:
        return ""
    return f"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(etags)}"
