"""Keycloak's admin API: signs in, stays signed in, tells what will pass from what will not."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from waybill.errors import KeycloakRefused, KeycloakUnreachable

_TOKEN = "/realms/master/protocol/openid-connect/token"  # noqa: S105 - an address
_PASSING = frozenset({408, 409, 425, 429})
"""It is overloaded, or another run of the same command was faster: a rerun finds it done."""
_RACE_LOST = "Database operation failed"
"""With 400: what it is asked to make is just being made, by a run that was cut off or another."""
_PATIENCE = httpx2.Timeout(120, connect=10)
"""A new realm takes a busy server most of a minute."""


@dataclass(frozen=True)
class Administrator:
    user: str
    password: str = field(repr=False)


class Keycloak:
    """The admin API below <url>/admin/realms. Every call raises KeycloakUnreachable, a Keycloak
    that will answer later, or KeycloakRefused, one that will not."""

    def __init__(self, url: str, admin: Administrator) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.Client(auth=_SignIn(self.url, admin), timeout=_PATIENCE)

    def __enter__(self) -> Keycloak:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *path: str, **query: str) -> Any:
        """The answer's JSON, None where there is nothing of this name."""
        response = self._call("GET", path, query=query, missing_ok=True)
        return None if response.status_code == httpx2.codes.NOT_FOUND else response.json()

    def post(self, *path: str, body: Any) -> str:
        """The last part of the address of what was made."""
        response = self._call("POST", path, body=body)
        return response.headers.get("location", "").rpartition("/")[2]

    def put(self, *path: str, body: Any = None) -> None:
        self._call("PUT", path, body=body)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        missing_ok: bool = False,
    ) -> httpx2.Response:
        where = "/".join(("/admin/realms", *(quote(part, safe="") for part in path)))
        with self._reached():
            response = self._http.request(
                method, self.url + where, json=body, params=dict(query or {})
            )
        if response.is_success or (missing_ok and response.status_code == 404):
            return response
        raise _failure(self.url, f"{method} {where}", response)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPError as error:
            raise KeycloakUnreachable(
                url=self.url, why=str(error) or type(error).__name__
            ) from error


class _SignIn(httpx2.Auth):
    """A token lives for a minute; whoever is told that it is over signs in once more."""

    requires_response_body = True

    def __init__(self, url: str, admin: Administrator) -> None:
        self._url, self._admin, self._token = url, admin, ""

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        fresh = not self._token
        if fresh:
            self._keep((yield self._ask()))
        request.headers["authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == httpx2.codes.UNAUTHORIZED and not fresh:
            self._keep((yield self._ask()))
            request.headers["authorization"] = f"Bearer {self._token}"
            yield request

    def _ask(self) -> httpx2.Request:
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": self._admin.user,
            "password": self._admin.password,
        }
        return httpx2.Request("POST", self._url + _TOKEN, data=form)

    def _keep(self, response: httpx2.Response) -> None:
        self._token = ""
        if not response.is_success:
            raise _failure(self._url, "to sign its administrator in", response)
        try:
            self._token = str(response.json()["access_token"])
        except (ValueError, LookupError, TypeError) as error:
            raise KeycloakRefused(
                url=self._url, what="to sign its administrator in", why="it answers no token"
            ) from error


def _failure(
    url: str, what: str, response: httpx2.Response
) -> KeycloakUnreachable | KeycloakRefused:
    status = response.status_code
    said = _said(response)
    why = f"{status} {response.reason_phrase}: {said}".rstrip(": ")
    if status >= 500 or status in _PASSING or said == _RACE_LOST:
        return KeycloakUnreachable(url=url, why=why)
    return KeycloakRefused(url=url, what=what, why=why)


def _said(response: httpx2.Response) -> str:
    try:
        told = response.json()
        return str(told.get("errorMessage") or told.get("error_description") or told["error"])
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, LookupError):
        return response.text[:200].strip()
