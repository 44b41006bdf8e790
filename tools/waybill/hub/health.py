"""GET /healthz: the process is alive. GET /readyz: the store has been reached.

GET /readyz/{owner}/{name}/{commit}/{digest}: this hub gives that commit with that content.
"""

from __future__ import annotations

from contextlib import suppress

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.errors import (
    BlobMissing,
    Corrupt,
    RepoNotFound,
    RevisionNotFound,
    TooMuchSaid,
    Unsigned,
    UntrustedSignature,
)
from waybill.hub.state import hub_of, repo_of, revision_of, segment
from waybill.store.publish import complete
from waybill.store.store import Store

STRANGERS = 2
"""How many who show no token may have the store read for them at one time."""
_NOT_GIVEN = (
    BlobMissing,
    Corrupt,
    RepoNotFound,
    RevisionNotFound,
    TooMuchSaid,
    Unsigned,
    UntrustedSignature,
)


class _Commit(StringConvertor):
    regex = "[0-9a-f]{40}"


class _Digest(StringConvertor):
    regex = "sha256(?::|%3[Aa])[0-9a-f]{64}"


register_url_convertor("commit", _Commit())
register_url_convertor("digest", _Digest())


async def alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Once ready, always ready: a hub whose store is lost still answers from memory.

    Raises what the store raises until it has been reached, which gives 503 with Retry-After.
    """
    state = request.app.state
    if not state.reached:
        hub = hub_of(request)
        await hub.threads.ask(_reach, hub.store)
        state.reached = True
    return JSONResponse({"status": "ready"})


async def gives(request: Request) -> Response:
    """Asked without a token: one answer to all who do not know commit and digest already.

    What is in memory is asked of the store again, with all of its files: it may have lost some.
    Raises what the store raises that cannot be read.
    """
    hub = hub_of(request)
    with suppress(*_NOT_GIVEN):
        async with request.app.state.strangers:
            revision = await revision_of(request)
            if revision.manifest.descriptor.digest == segment(request, "digest"):
                commit = revision.manifest.commit
                await hub.threads.ask(complete, hub.store, repo_of(request), commit)
                return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not given"}, status_code=404)


def _reach(store: Store) -> None:
    store.facts  # noqa: B018 - read once, kept from then on
