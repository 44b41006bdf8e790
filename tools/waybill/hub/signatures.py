"""GET /api/models/{owner}/{name}/signatures/{revision}[/{digest}]: who signed a revision.

Our own: Hugging Face clients do not ask for it. A digest names a DSSE envelope, byte for byte, so
that whoever packs from the hub can bring it along.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.errors import EntryNotFound
from waybill.hub.revisions import Revision
from waybill.hub.state import hub_of, revision_of, segment
from waybill.manifest import Descriptor
from waybill.store import evidence
from waybill.store.layout import RepoId


async def signatures(request: Request) -> Response:
    found = await _found(request, await revision_of(request))
    return JSONResponse({"signatures": [one.digest for one in found]})


async def signature(request: Request) -> Response:
    revision, digest = await revision_of(request), segment(request, "digest")
    for one in await _found(request, revision):
        if one.digest == digest:
            hub = hub_of(request)
            data = await hub.threads.ask(hub.store.read, one.digest)
            return Response(data, media_type=one.media_type)
    raise EntryNotFound(repo=revision.repo, revision=revision.sha, path=digest)


async def _found(request: Request, revision: Revision) -> list[Descriptor]:
    hub, repo = hub_of(request), RepoId.parse(revision.repo)
    return await hub.threads.ask(evidence.signed, hub.store, repo, revision.manifest.commit)
