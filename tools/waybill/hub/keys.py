"""The keys of an issuer: fetched over HTTP in a thread, kept, and fetched again when they age."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError

import jwt

from waybill.errors import IssuerUnreachable
from waybill.hub.issuers import Issuer, is_address
from waybill.hub.metrics import Metrics

log = logging.getLogger("waybill.hub")

FRESH = 300.0
"""Seconds after which keys are fetched again; old ones go on while that fails."""
PAUSE = 10.0
"""Seconds between two fetches: tokens that name made-up keys must not flood the issuer."""
PATIENCE = 8.0
"""Seconds a request waits for keys when there are none: clients give up after ten."""
HASTE = 1.0
"""Seconds into a fetch that requests wait for newer keys when theirs is there."""
TIMEOUT = 5.0
LARGEST = 1 << 20
"""Bytes of a key set or a discovery document."""


class Keys:
    """The key sets of all issuers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="keys")
        self._sets: dict[Issuer, KeySet] = {}

    async def find(self, issuer: Issuer, kid: str) -> jwt.PyJWK | None:
        """The key of that name, None when there is none. Raises IssuerUnreachable."""
        if issuer not in self._sets:
            self._sets[issuer] = KeySet(issuer, self._threads, self._metrics)
        return await self._sets[issuer].find(kid)


class KeySet:
    """The keys of one issuer; requests that want them at the same time share one fetch."""

    def __init__(self, issuer: Issuer, threads: ThreadPoolExecutor, metrics: Metrics) -> None:
        self._issuer, self._threads, self._metrics = issuer, threads, metrics
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked = self._fetched = -math.inf
        self._failure = ""
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of that name, None when there is none. Raises IssuerUnreachable when that
        cannot be told, because the issuer could not be asked."""
        key = self._keys.get(kid)
        if key is None or monotonic() - self._fetched > FRESH:
            await self._refresh(hurry=key is not None)
            key = self._keys.get(kid)
        if key is None and (self._failure or self._fetched == -math.inf):
            why = self._failure or "it has not answered yet"
            raise IssuerUnreachable(issuer=self._issuer.name, why=why)
        return key

    async def _refresh(self, *, hurry: bool) -> None:
        """Waits for the fetch that runs, or for a new one unless the last was just now.

        In a hurry only for its first second, and not at all once the issuer has failed: one that
        hangs must not slow every request down.
        """
        if self._fetch is None or self._fetch.done():
            if monotonic() - self._asked < PAUSE:
                return
            self._asked = monotonic()
            self._fetch = asyncio.create_task(self._replace())
        hasty = 0.0 if self._failure else self._asked + HASTE - monotonic()
        await asyncio.wait({self._fetch}, timeout=max(hasty, 0.0) if hurry else PATIENCE)

    async def _replace(self) -> None:
        name, loop = self._issuer.name, asyncio.get_running_loop()
        try:
            self._keys = await loop.run_in_executor(self._threads, fetch, self._issuer)
        except Unusable as error:
            self._metrics.key_fetch(name, "failed")
            if not self._failure:
                log.error("the keys of issuer %s cannot be fetched: %s", name, error)
            self._failure = str(error)
            return
        self._metrics.key_fetch(name, "ok")
        if self._failure:
            log.info("the keys of issuer %s have been fetched again", name)
        self._fetched, self._failure = monotonic(), ""


class Unusable(Exception):
    """The issuer does not answer, or not with keys; the message says why, and no secret."""


def fetch(issuer: Issuer) -> dict[str, jwt.PyJWK]:
    """Keys by name, from the network. Raises Unusable."""
    where = issuer.jwks_uri or _discover(issuer)
    keys = dict(_usable(_get(issuer, where).get("keys")))
    if not keys:
        raise Unusable(f"{where} has no key that can be used")
    return keys


def _discover(issuer: Issuer) -> str:
    where = issuer.issuer.rstrip("/") + "/.well-known/openid-configuration"
    said = _get(issuer, where)
    if said.get("issuer") != issuer.issuer:
        raise Unusable(f"{where} speaks for {said.get('issuer')!r}")
    keys = said.get("jwks_uri")
    if not isinstance(keys, str) or not is_address(keys):
        raise Unusable(f"{where} does not say where the keys are")
    return keys


def _usable(entries: Any) -> Iterator[tuple[str, jwt.PyJWK]]:
    """Public keys for signatures only: issuers list others beside them."""
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            continue
        if entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use", "sig") != "sig":
            continue
        try:
            yield entry["kid"], jwt.PyJWK(entry)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue


class _Stay(request.HTTPRedirectHandler):
    """Follows no redirect: it would carry our token to wherever it points."""

    def redirect_request(self, *_: object) -> None:
        return None


def _get(issuer: Issuer, url: str) -> dict[str, Any]:
    """A JSON object from the issuer. Raises Unusable."""
    try:
        with _opener(issuer).open(_request(issuer, url), timeout=TIMEOUT) as answer:
            content = json.loads(answer.read(LARGEST))
    except HTTPError as error:
        error.close()
        raise Unusable(f"{url} answered {error.code}") from error
    except URLError as error:
        raise Unusable(f"{url}: {error.reason}") from error
    except OSError as error:
        raise Unusable(f"{error.filename or url}: {error.strerror or error}") from error
    except (HTTPException, ValueError, RecursionError) as error:
        raise Unusable(f"{url} did not answer with JSON") from error
    if not isinstance(content, dict):
        raise Unusable(f"{url} did not answer with a JSON object")
    return content


def _opener(issuer: Issuer) -> request.OpenerDirector:
    """Made for each fetch, because CA bundles are replaced while the hub runs."""
    try:
        context = ssl.create_default_context(cafile=issuer.ca_bundle or None)
    except OSError as error:
        raise Unusable(f"{issuer.ca_bundle}: {error.strerror}") from error
    # The cluster is never behind a proxy that the environment names for the outside.
    proxies = request.ProxyHandler({} if issuer.token_file else None)
    return request.build_opener(_Stay, proxies, request.HTTPSHandler(context=context))


def _request(issuer: Issuer, url: str) -> request.Request:
    # Kubernetes answers 406 to who does not take the type of RFC 7517.
    accepted = {"Accept": "application/jwk-set+json, application/json"}
    asked = request.Request(url, headers=accepted)  # noqa: S310 - is_address
    if issuer.token_file:
        token = Path(issuer.token_file).read_text().strip()
        asked.add_unredirected_header("Authorization", f"Bearer {token}")
    return asked
