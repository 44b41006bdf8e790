"""The hub as an ASGI application: routes by Hugging Face concept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from waybill.hub import failures, health, info, listing, signatures, whoami
from waybill.hub.auth import Auth, Gate
from waybill.hub.issuers import Cluster, Trust
from waybill.hub.metrics import Measure, Metrics, metrics
from waybill.hub.request_log import RequestLog
from waybill.hub.resolve import resolve
from waybill.hub.revisions import Revisions
from waybill.hub.settings import Settings
from waybill.hub.state import Hub
from waybill.hub.threads import Threads
from waybill.hub.watched import Watched
from waybill.sign.trust import Policy
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
        Route(api + "/signatures/{revision}", signatures.signatures),
        Route(api + "/signatures/{revision}/{digest}", signatures.signature),
        Route(f"/{repo}/resolve/{{revision}}/{{path:path}}", resolve),
    ]


OPEN = [
    Route("/healthz", health.alive),
    Route("/readyz", health.ready),
    Route("/readyz/{owner}/{name}/{revision:commit}/{digest:digest}", health.gives),
    Route("/metrics", metrics),
]
"""Asked by the kubelet, by `waybill watch` and by Prometheus, who have no token for us."""
ROUTES = [
    *OPEN,
    Route("/api/whoami-v2", whoami.whoami),
    *_routes_of("{owner}/{name}"),
    # A bare id, as `gpt2`, is no repo of ours: the handlers say so with the right code.
    *_routes_of("{name}"),
]


def create_app(store: Store, settings: Settings, cluster: Cluster | None = None) -> Starlette:
    """A hub over `store`, which is not read before the first request.

    Raises BadFile or BadValue when the issuers or the policy it is to trust cannot be used.
    """
    counts = Metrics()
    around = [Middleware(RequestLog), Middleware(Measure, counts)]
    if settings.auth == "required":
        auth = Auth(Trust(settings, cluster or Cluster()), counts)
        around.append(Middleware(Gate, auth, OPEN))
    app = Starlette(routes=ROUTES, middleware=around)
    app.router.redirect_slashes = False
    failures.install(app)
    threads = Threads(store.url)
    revisions = Revisions(store, threads, policy=_policy(settings))
    app.state.hub = Hub(store, settings, threads, revisions, counts)
    app.state.reached = False
    app.state.strangers = asyncio.Semaphore(health.STRANGERS)
    return app


def _policy(settings: Settings) -> Callable[[], Policy | None]:
    """The trust policy as it is at the time. Raises BadFile."""
    if settings.trust is None:
        return lambda: None
    return Watched(Path(settings.trust), Policy.load).get
