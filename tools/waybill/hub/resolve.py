"""HEAD and GET /{owner}/{name}/resolve/{revision}/{path}: one file of a revision."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from waybill import digest as digests
from waybill.errors import EntryNotFound
from waybill.hub import delivery, failures, ranges
from waybill.hub.revisions import Revision
from waybill.hub.state import Hub, hub_of, revision_of, segment
from waybill.manifest import File

LARGE = 50_000_000_000
"""Bytes above which the stock client refuses a file whose size it is told beforehand."""

FIXED = "private, max-age=31536000, immutable"
MOVES = "private, no-cache"


async def resolve(request: Request) -> Response:
    revision = await revision_of(request)
    path = segment(request, "path")
    file = revision.manifest.by_path.get(path)
    if file is None:
        raise EntryNotFound(repo=revision.repo, revision=revision.sha, path=path)
    headers = describe(file, revision)
    if ranges.unchanged(request.headers, etag(file)):
        kept = ("x-repo-commit", "etag", "cache-control")
        return Response(status_code=304, headers={name: headers[name] for name in kept})
    hub = hub_of(request)
    asked = request.headers.get("host", "").partition(":")[0]
    if url := await delivery.location(hub, file, headers, asked):
        return _redirect(request, file, url, headers)
    if request.method == "HEAD":
        return _head(file, headers)
    return await _get(hub, request, file, headers)


def etag(file: File) -> str:
    """The name clients give the file in their cache: git's id of a text, else the SHA-256."""
    return file.git_oid or digests.hex_of(file.digest)


def describe(file: File, revision: Revision) -> dict[str, str]:
    """The headers that every good answer about the file has, names in lower case."""
    return {
        "x-repo-commit": revision.sha,
        "etag": f'"{etag(file)}"',
        "accept-ranges": "bytes",
        "cache-control": MOVES if revision.moved_at else FIXED,
        "content-type": content_type(file),
        "content-disposition": disposition(file.path.rpartition("/")[2]),
        "x-content-type-options": "nosniff",
    }


def content_type(file: File) -> str:
    """Never a type that a browser would run: these are files of strangers."""
    if file.path.endswith(".json"):
        return "application/json"
    return "text/plain; charset=utf-8" if file.git_oid else "application/octet-stream"


def disposition(name: str) -> str:
    plain = "".join(sign if sign.isascii() and sign not in '"\\' else "_" for sign in name)
    return f"inline; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";"


def _redirect(request: Request, file: File, url: str, headers: dict[str, str]) -> Response:
    linked = {
        "location": url,
        "x-linked-etag": headers["etag"],
        "cache-control": "private, no-store",
    }
    if file.size <= LARGE:
        linked["x-linked-size"] = str(file.size)
    response = Response(status_code=302, headers={**headers, **linked})
    if request.method == "HEAD":
        # Older clients would take the length of the redirect for that of the file.
        del response.headers["content-length"]
    return response


def _head(file: File, headers: dict[str, str]) -> Response:
    response = Response(headers={**headers, "content-length": str(file.size)})
    if file.size > LARGE:
        del response.headers["content-length"]
    return response


async def _get(hub: Hub, request: Request, file: File, headers: dict[str, str]) -> Response:
    try:
        span = ranges.asked(request.headers, etag(file), file.size)
    except ranges.Unsatisfiable:
        end = {"content-range": f"bytes */{file.size}", "x-repo-commit": headers["x-repo-commit"]}
        return failures.answer(416, f"the file has only {file.size} bytes", end)
    return await delivery.stream(hub, file, span, headers)
