"""GET /api/whoami-v2: who the hub takes the client for (`hf auth whoami`)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from waybill.errors import NotSignedIn


async def whoami(request: Request) -> Response:
    """Raises NotSignedIn on a hub that asks nobody who they are."""
    subject = request.scope.get("subject")
    if subject is None:
        raise NotSignedIn(why="this hub answers everybody, and knows nobody")
    token = {"displayName": subject.issuer, "role": "read"}
    return JSONResponse(
        {
            "type": "user",
            "id": subject.sub,
            "name": subject.sub,
            "fullname": subject.name,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )
