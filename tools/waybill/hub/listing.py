"""GET /api/models/…/tree/{revision}[/{path}] and POST …/paths-info/{revision}."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.errors import BadValue, EntryNotFound
from waybill.hub.state import flag, revision_of, segment

PAGE = 1000
BODY_LIMIT = 4 << 20
"""Bytes of a request body: a thousand of the longest paths, percent-encoded, fit."""


async def tree(request: Request) -> Response:
    """Pages of 1000 entries; the next one is named in the header Link."""
    revision = await revision_of(request)
    folder = segment(request, "path").strip("/")
    if not revision.tree.has_folder(folder):
        raise EntryNotFound(repo=revision.repo, revision=revision.sha, path=folder)
    items, cursor = revision.tree.page(
        folder,
        recursive=flag(request, "recursive"),
        after=request.query_params.get("cursor", ""),
        limit=PAGE,
    )
    headers = {"X-Repo-Commit": revision.sha}
    if cursor:
        headers["Link"] = f'<{_next(request, cursor)}>; rel="next"'
    return JSONResponse(items, headers=headers)


def _next(request: Request, cursor: str) -> str:
    """The address of the next page as the client reaches us, whatever proxy is between."""
    origin = {
        "scheme": _forwarded(request, "proto") or request.url.scheme,
        "host": _forwarded(request, "host") or request.headers.get("host", request.url.netloc),
    }
    query = urlencode({**request.query_params, "cursor": cursor})
    return f"{origin['scheme']}://{origin['host']}{request.url.path}?{query}"


def _forwarded(request: Request, name: str) -> str:
    return request.headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip()


async def paths_info(request: Request) -> Response:
    """Entries of the paths that exist; the others are left out, as clients expect."""
    revision = await revision_of(request)
    paths = _paths(request, await _body(request))
    if len(paths) > PAGE:
        raise BadValue(what="number of paths", value=len(paths), why=f"{PAGE} are the most")
    found = [item for path in paths if (item := revision.tree.item(path.strip("/")))]
    return JSONResponse(found, headers={"X-Repo-Commit": revision.sha})


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise BadValue(what="body", value=f"{len(body)} bytes", why="it is too large")
    return body


def _paths(request: Request, body: bytes) -> list[str]:
    """From a form, or from JSON. Raises BadValue."""
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            paths = json.loads(body)["paths"]
        else:
            paths = parse_qs(body.decode()).get("paths", [])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadValue(what="body", value=body[:80], why="it names no paths") from error
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadValue(what="paths", value=repr(paths)[:80], why="it must be a list of strings")
    return paths
