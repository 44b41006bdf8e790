"""GET /api/models/{owner}/{name}[/revision/{revision}] and /refs: what there is of a repo."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill import digest as digests
from waybill.hub.revisions import Revision
from waybill.hub.state import flag, hub_of, repo_of, revision_of
from waybill.hub.tree import lfs_sizes
from waybill.manifest import File
from waybill.store.layout import Ref
from waybill.store.record import Head


async def model(request: Request) -> Response:
    revision = await revision_of(request)
    info = describe(revision, blobs=flag(request, "blobs"))
    if asked := request.query_params.getlist("expand"):
        info = {name: info[name] for name in ("id", *asked) if name in info}
    return JSONResponse(info)


def describe(revision: Revision, *, blobs: bool) -> dict[str, Any]:
    """The fields that hold for a model on any hub, and no invented ones."""
    moved = {"lastModified": revision.moved_at} if revision.moved_at else {}
    return {
        "id": revision.repo,
        "modelId": revision.repo,
        "author": revision.repo.partition("/")[0],
        "sha": revision.sha,
        **moved,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "usedStorage": revision.manifest.size,
        "siblings": [sibling(file, blobs=blobs) for file in revision.manifest.files],
    }


def sibling(file: File, *, blobs: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        item |= {"size": file.size, "blobId": file.oid}
        if file.git_oid is None:
            item["lfs"] = {"sha256": digests.hex_of(file.digest), **lfs_sizes(file)}
    return item


async def refs(request: Request) -> Response:
    hub, repo = hub_of(request), repo_of(request)
    found = await hub.revisions.refs(repo)
    return JSONResponse(
        {
            "branches": _listed(found, "heads"),
            "converts": [],
            "tags": _listed(found, "tags"),
        }
    )


def _listed(found: dict[Ref, Head], kind: str) -> list[dict[str, str]]:
    return [
        {"name": ref.name, "ref": f"refs/{kind}/{ref.name}", "targetCommit": head.commit}
        for ref, head in found.items()
        if ref.kind == kind
    ]
