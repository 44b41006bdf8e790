"""The hub as an ASGI application: routes by Hugging Face concept."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from waybill.hub import failures, health, info, listing
from waybill.hub.request_log import RequestLog
from waybill.hub.resolve import resolve
from waybill.hub.revisions import Revisions
from waybill.hub.settings import Settings
from waybill.hub.state import Hub
from waybill.hub.threads import Threads
from waybill.store.store import Store


def _routes_of(repo: str) -> list[Route]:
    """All that is asked about a repo, whose id stands in the path as `repo` says."""
    api = f"/api/models/{repo}"
    return [
        Route(api, info.model),
        Route(api + "/revision/{revision}", info.model),
        Route(api + "/refs", info.refs),
        Route(api + "/tree/{revision}", listing.tree),
        Route(api + "/tree/{revision}/{path:path}", listing.tree),
        Route(api + "/paths-info/{revision}", listing.paths_info, methods=["POST"]),
        Route(f"/{repo}/resolve/{{revision}}/{{path:path}}", resolve),
    ]


ROUTES = [
    Route("/healthz", health.alive),
    Route("/readyz", health.ready),
    *_routes_of("{owner}/{name}"),
    # A bare id, as `gpt2`, is no repo of ours: the handlers say so with the right code.
    *_routes_of("{name}"),
]


def create_app(store: Store, settings: Settings) -> Starlette:
    """A hub over `store`. Nothing is read before the first request."""
    app = Starlette(routes=ROUTES, middleware=[Middleware(RequestLog)])
    app.router.redirect_slashes = False
    failures.install(app)
    threads = Threads(store.url)
    app.state.hub = Hub(store, settings, threads, Revisions(store, threads))
    app.state.reached = False
    return app
