"""From botocore's exceptions to ours."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import botocore.exceptions as aws

from waybill.errors import (
    AccessDenied,
    BadValue,
    BucketNotFound,
    ClockWrong,
    Corrupt,
    StoreFull,
    StoreUnreachable,
)

ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
PAST_END = frozenset({"416", "InvalidRange"})
LOST = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict", "NoSuchUpload"})
_DENIED = {
    "401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "ExpiredToken", "InvalidToken", "InvalidTokenId", "RequestTimeTooSkewed", "AllAccessDisabled",
}  # fmt: skip
_FULL = {"507", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"}
_WRONG = {
    "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch", "IncompleteBody",
}  # fmt: skip

_SKEW = 14 * 60
"""Seconds. S3 allows 15 minutes."""


class Place(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def bucket(self) -> str: ...


def code_of(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(
    place: Place,
    *,
    keep: Collection[str] = (),
    what: str = "the request",
) -> Iterator[None]:
    """Turn botocore's exceptions into ours, but let those with a code in `keep` pass."""
    try:
        yield
    except aws.ClientError as error:
        code = code_of(error)
        if code in keep:
            raise
        raise _client_error(place, error, code, what) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.ProfileNotFound) as error:
        raise AccessDenied(url=place.url, why=str(error)) from error
    except aws.ParamValidationError as error:
        raise _no_store(place, error) from error
    except ValueError as error:
        raise StoreUnreachable(url=place.url, why=str(error)) from error
    except (aws.BotoCoreError, OSError) as error:
        raise StoreUnreachable(url=place.url, why=_first_line(error)) from error


def _client_error(place: Place, error: aws.ClientError, code: str, what: str) -> Exception:
    why = f"{code}: {error.response.get('Error', {}).get('Message', '')}".strip(": ")
    if code == "NoSuchBucket":
        return BucketNotFound(bucket=place.bucket, url=place.url)
    if code == "InvalidBucketName":
        return _no_store(place, error)
    if code in _DENIED:
        off = _clock_off(error)
        return ClockWrong(url=place.url, off=off) if off else AccessDenied(url=place.url, why=why)
    if code in _FULL:
        return StoreFull(url=place.url, why=why)
    if code in _WRONG:
        return Corrupt(what=what, expected="bytes that match their SHA-256", found=why)
    return StoreUnreachable(url=place.url, why=why)


def _no_store(place: Place, error: Exception) -> BadValue:
    """For what to ask again would not mend."""
    return BadValue(what="store", value=place.url, why=" ".join(str(error).split()))


def _clock_off(error: aws.ClientError) -> str:
    """How far this clock is from the server's, if so far that it refuses; a HEAD has no code."""
    headers: Any = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        ahead = time.time() - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        ahead = 0.0
    if abs(ahead) > _SKEW:
        return f"{abs(ahead) / 60:,.0f} minutes {'ahead of' if ahead > 0 else 'behind'} its own"
    return "far from its own" if code_of(error) == "RequestTimeTooSkewed" else ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
