"""GET /healthz: the process is alive. GET /readyz: the store has been reached."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.hub.state import hub_of
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


def _reach(store: Store) -> None:
    store.facts  # noqa: B018 - read once, kept from then on
