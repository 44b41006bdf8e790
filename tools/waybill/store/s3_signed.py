"""Requests that carry their own end: signed once, and refused by the server when they come late.

A client's own requests are signed anew at every retry, so one that hung for an hour still counts.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Expired(Exception):
    """The request came to the server after its end."""


def send_signed(client: S3Client, method: str, url: str) -> None:
    """Once. Raises Expired, or what botocore raises: a ClientError, or that no answer came."""
    # Of the client itself: it knows the CA bundle, the proxies and the connections.
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
    answer = session.send(AWSRequest(method, url).prepare())
    if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(method, answer.status_code, answer.content)


def _refusal(method: str, status: int, body: bytes) -> Exception:
    told = {name: _element(name, body) for name in ("Code", "Message")}
    if "expired" in told["Message"]:
        return Expired(told["Message"])
    told["Code"] = told["Code"] or str(status)
    facts: Any = {"Error": told, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(facts, method)


def _element(name: str, body: bytes) -> str:
    """Of the XML in which S3 says what is wrong."""
    found = re.search(rf"<{name}>([^<]*)<", body.decode(errors="replace"))
    return found[1] if found else ""
