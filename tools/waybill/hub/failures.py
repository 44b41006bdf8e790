"""How the hub says that something failed: the error contract of Hugging Face clients.

They read X-Error-Code first; a 404 without it is no RepositoryNotFoundError on plain http.
"""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.errors import (
    EntryNotFound,
    IssuerUnreachable,
    NotSignedIn,
    Unsigned,
    UntrustedSignature,
    WaybillError,
)

log = logging.getLogger("waybill.hub")

RETRY_AFTER = "5"
"""Seconds; clients retry a 503 some times on their own."""
UNAVAILABLE = 503
NOT_SIGNED_IN = "Invalid credentials in Authorization header"
"""With any other message, clients take a 401 over https for a repo that does not exist, and
repo_exists says no. They show the body too, which says what is wrong."""


def install(app: Starlette) -> None:
    app.add_exception_handler(WaybillError, expected)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, unexpected)


def answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """A JSON error. The message goes into a header too, so it is made printable ASCII there."""
    ascii_message = message.encode("ascii", "backslashreplace").decode()
    printable = "".join(sign if sign.isprintable() else " " for sign in ascii_message)
    return JSONResponse(
        {"error": message},
        status,
        {"X-Error-Message": printable, "Cache-Control": "no-store", **(headers or {})},
    )


async def expected(request: Request, error: Exception) -> Response:
    """Each of our errors knows its status and code."""
    assert isinstance(error, WaybillError)  # noqa: S101 - registered for this class
    headers: dict[str, str] = {}
    if error.hf_code:
        headers["X-Error-Code"] = error.hf_code
    if isinstance(error, EntryNotFound):
        # Clients note beside the commit that the file does not exist, and never ask again.
        headers["X-Repo-Commit"] = str(error.facts["revision"])
    if isinstance(error, NotSignedIn):
        headers |= {"WWW-Authenticate": "Bearer", "X-Error-Message": NOT_SIGNED_IN}
    if error.status == UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER
    if isinstance(error, Unsigned | UntrustedSignature):
        log.warning("%s", error)
        request.app.state.hub.metrics.untrusted(error)
    if error.status >= 500:
        log.warning("%s", error)
        if not isinstance(error, IssuerUnreachable):
            request.app.state.hub.metrics.store_error(error)
    return answer(error.status, str(error), headers)


async def refused(_: Request, error: Exception) -> Response:
    """What Starlette itself refuses: no such route, or another method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return answer(error.status_code, error.detail, dict(error.headers or {}))


async def unexpected(request: Request, _: Exception) -> Response:
    """A bug; its traceback is logged by the server."""
    headers = {"X-Request-Id": request.scope.get("request_id", "")}
    return answer(500, "the hub failed in a way it did not expect; its log says more", headers)
