"""What every request handler works with, and what all of them read from a request."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import Request

from waybill.errors import BadValue, RepoNotFound
from waybill.hub.metrics import Metrics
from waybill.hub.revisions import Revision, Revisions
from waybill.hub.settings import Settings
from waybill.hub.threads import Threads
from waybill.store.layout import RepoId
from waybill.store.store import Store

MAIN = "main"


@dataclass(frozen=True)
class Hub:
    store: Store
    settings: Settings
    threads: Threads
    revisions: Revisions
    metrics: Metrics


def hub_of(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def repo_of(request: Request) -> RepoId:
    """The repo in the path. Raises RepoNotFound for an id that no repo can have."""
    parts = (segment(request, "owner"), segment(request, "name"))
    text = "/".join(part for part in parts if part)
    try:
        return RepoId.parse(text)
    except BadValue as error:
        raise RepoNotFound(repo=repr(text), url=hub_of(request).store.url) from error


async def revision_of(request: Request) -> Revision:
    """The revision in the path, else the branch main."""
    revision = segment(request, "revision") or MAIN
    return await hub_of(request).revisions.get(repo_of(request), revision)


def segment(request: Request, name: str) -> str:
    """A part of the path by its name in the route, decoded; '' when the route has none.

    Routes match the path as it was sent, so that a revision may hold an encoded slash.
    """
    return unquote(request.path_params.get(name, ""))


def flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("true", "1")
