"""Who asks: bearer tokens of trusted issuers. Whoever is signed in may read everything."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from waybill.errors import NotSignedIn, WaybillError
from waybill.hub import failures
from waybill.hub.issuers import Issuer, Trust
from waybill.hub.keys import Keys
from waybill.hub.metrics import Metrics

log = logging.getLogger("waybill.hub")

LEEWAY = 60
"""Seconds that clocks may differ."""
LONGEST = 16 << 10
"""Characters of a token."""
KEPT = 4096
"""Checked tokens that are remembered."""

_WHY: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.InvalidAudienceError: "it is not meant for this hub (aud)",
    jwt.InvalidAlgorithmError: "it is signed in a way that its issuer's tokens must not be (alg)",
}


@dataclass(frozen=True)
class Subject:
    """Who is signed in: `sub` is unique within the issuer, the name is for people."""

    issuer: str
    sub: str
    name: str


@dataclass(frozen=True)
class _Checked:
    subject: Subject
    expires: int
    """Seconds since 1970."""
    issuer: Issuer
    key: jwt.PyJWK


class Auth:
    """Checks tokens; what was checked is not computed again before its key is fetched again."""

    def __init__(self, trust: Trust, metrics: Metrics) -> None:
        self._trust, self._keys, self._metrics = trust, Keys(metrics), metrics
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()

    async def subject(self, headers: Headers) -> Subject:
        """Who sent these headers. Raises NotSignedIn or IssuerUnreachable."""
        given = headers.get("authorization", "")
        outcome = "unavailable"
        try:
            found = await self._subject(given)
            outcome = "accepted"
            return found
        except NotSignedIn:
            outcome = "refused" if given else "missing"
            raise
        finally:
            self._metrics.sign_in(outcome)

    async def _subject(self, given: str) -> Subject:
        token = _bearer(given)
        issuer, kid = self._claimed(token)
        key = await self._keys.find(issuer, kid)
        if key is None:
            raise refused(f"issuer {issuer.name} has no such key (kid)")
        name = hashlib.sha256(token.encode()).digest()
        known = self._checked.get(name)
        if known is None or (known.issuer, known.key) != (issuer, key) or _is_over(known):
            self._checked[name] = known = check(token, issuer, key)
        self._checked.move_to_end(name)
        if len(self._checked) > KEPT:
            self._checked.popitem(last=False)
        return known.subject

    def _claimed(self, token: str) -> tuple[Issuer, str]:
        """The issuer and the name of the key that the token claims to be from."""
        try:
            content = jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise refused("it is no JSON web token") from error
        issuer, kid = self._trust.find(content["payload"].get("iss")), content["header"].get("kid")
        if issuer is None:
            raise refused("this hub does not trust its issuer (iss)")
        if not isinstance(kid, str):
            raise refused("it does not name its key (kid)")
        return issuer, kid


def _bearer(given: str) -> str:
    scheme, _, token = given.strip().partition(" ")
    if not given:
        raise NotSignedIn(why="the request has no token")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotSignedIn(why="the header Authorization is not of the form: Bearer <token>")
    if len(token) > LONGEST:
        raise refused(f"it is longer than {LONGEST} characters")
    return token.strip()


def refused(why: str) -> NotSignedIn:
    return NotSignedIn(why=f"the token is refused: {why}")


def check(token: str, issuer: Issuer, key: jwt.PyJWK) -> _Checked:
    """Signature and claims. Raises NotSignedIn."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=issuer.algorithms,
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )
    except jwt.PyJWTError as error:
        raise refused(_WHY.get(type(error), str(error))) from error
    sub = claims["sub"]
    name = claims.get("preferred_username")
    subject = Subject(issuer.name, sub, name if isinstance(name, str) else sub)
    return _Checked(subject, int(claims["exp"]), issuer, key)


def _is_over(known: _Checked) -> bool:
    return known.expires <= time.time() - LEEWAY


class Gate:
    """ASGI middleware: lets nobody unknown in, except to the open routes.

    Outside of the routes, so that no new one is forgotten. The open ones have to be the first of
    them all, so that what is let in comes nowhere else.
    """

    def __init__(self, app: ASGIApp, auth: Auth, open_to_all: Sequence[BaseRoute]) -> None:
        self._app, self._auth, self._open = app, auth, open_to_all

    def _is_open(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope):
            try:
                scope["subject"] = await self._auth.subject(Headers(scope=scope))
            except WaybillError as error:
                log.info("%s: %s", scope["path"], error)
                response = await failures.expected(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
