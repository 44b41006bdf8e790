"""GET /healthz: the process is alive. GET /readyz: the store has been reached.

GET /readyz/{owner}/{name}/{commit}/{digest}: this hub gives that commit with that content.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.digest import is_commit
from waybill.errors import RevisionNotFound
from waybill.hub.state import hub_of, repo_of, revision_of, segment
from waybill.store.store import Store


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
    """Asked without a token: it says nothing to who does not know commit and digest already.

    Raises RevisionNotFound, for another digest too, and what reading a revision raises.
    """
    asked = segment(request, "revision")
    revision = await revision_of(request) if is_commit(asked) else None
    if revision and revision.manifest.descriptor.digest == segment(request, "digest"):
        return JSONResponse({"status": "ready"})
    raise RevisionNotFound(repo=repo_of(request), revision=asked, url=hub_of(request).store.url)


def _reach(store: Store) -> None:
    store.facts  # noqa: B018 - read once, kept from then on
