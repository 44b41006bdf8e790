"""An OCI registry (distribution spec 1.1): manifests, blobs by range, sign-in by challenge."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import IO, Any
from urllib.parse import urlencode

import httpx2

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import SourceCorrupt, SourceRefused, SourceUnreachable
from waybill.manifest import from_json
from waybill.source.credentials import basic
from waybill.source.docker_config import CHECK, Login, login_for
from waybill.source.reach import Reach
from waybill.source.web import Asker, Web, from_byte

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFEST_SIZE = 4 << 20
_TOKEN_SIZE = 1 << 20
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


def manifest_value(data: bytes) -> Mapping[str, Any]:
    """What a manifest, or an index, says. Raises ValueError, which says what it is not."""
    try:
        value = from_json(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("its manifest is no JSON that can be used") from error
    if not isinstance(value, dict):
        raise ValueError("its manifest is no map")
    return value


class Registry:
    """One repository. Signs in when it is asked to, with what Docker's configuration knows."""

    def __init__(self, source: object, base: str, repository: str, reach: Reach) -> None:
        self._source, self._base, self._reach = source, base, reach
        self._repository = repository
        self._host = base.partition("://")[2]
        self._web = Web(Asker(source, CHECK), base, reach)
        self._authorization: str | None = None

    def manifest(self, reference: str) -> tuple[bytes, Digest]:
        """A manifest's bytes and their digest. Raises SourceCorrupt for another than that."""
        headers = {"Accept": ", ".join(MANIFESTS)}
        response = self._get(f"manifests/{reference}", headers)
        told = response.headers.get("docker-content-digest")
        data = self._web.read(response, _MANIFEST_SIZE)
        found = digests.of(data)
        expected = reference if reference.startswith("sha256:") else told or found
        if found != expected:
            what = f"the manifest of {self._source}"
            raise SourceCorrupt(what=what, expected=expected, found=found)
        return data, found

    def open(self, blob: Digest, offset: int, size: int) -> IO[bytes]:
        """A blob's bytes from `offset` on, not verified; `size` is that of all of it."""
        if offset >= size:
            return io.BytesIO()
        return self._web.body(self._get(f"blobs/{blob}", from_byte(offset)), offset)

    def _get(self, path: str, headers: Mapping[str, str]) -> httpx2.Response:
        return self._web.checked(self._ask("GET", self._url(path), headers))

    def _url(self, path: str) -> str:
        return f"{self._base}/v2/{self._repository}/{path}"

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Callable[[], Iterable[bytes]] | None = None,
    ) -> httpx2.Response:
        """The answer, whatever it is; `content` is opened anew where it has to be sent again."""

        def ask() -> httpx2.Response:
            body = content() if content else None
            return self._web.ask(method, url, headers, self._authorization, body)

        response = ask()
        challenge = response.headers.get("www-authenticate", "")
        if response.status_code == httpx2.codes.UNAUTHORIZED and challenge:
            response.close()
            self._authorization = self._sign_in(challenge)
            response = ask()
        return response

    def _sign_in(self, challenge: str) -> str | None:
        """The header that the challenge asks for; None where no credentials are known."""
        login = login_for(self._host)
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "bearer":
            return self._token(dict(_PARAMETER.findall(rest)), login)
        return basic(login.name, login.password) if login and login.name else None

    def _token(self, asked: Mapping[str, str], login: Login | None) -> str:
        """From the token service that the registry names: it has to be as well protected."""
        realm = asked.get("realm", "")
        if not realm.startswith("https://" if self._base.startswith("https") else "http"):
            raise self._refused("its token service is not reached by https")
        query = {name: asked[name] for name in ("service", "scope") if name in asked}
        scopes = [("scope", one) for one in query.get("scope", "").split()]
        # The client certificate is for the registry.
        reach = replace(self._reach, client_certificate=None, client_key=None)
        own = realm.startswith(f"{self._base}/")
        web = Web(Asker(self._source, CHECK), realm, self._reach if own else reach)
        if login and login.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity_token}
            response = web.post(realm, {**query, **form, "client_id": "waybill"})
        else:
            known = basic(login.name, login.password) if login else None
            mark = "&" if "?" in realm else "?"
            # As Docker does: a parameter for each scope, where one was told of several.
            asking = [*((key, query[key]) for key in query if key != "scope"), *scopes]
            response = web.ask("GET", f"{realm}{mark}{urlencode(asking)}", None, known)
        data = web.read(web.checked(response), _TOKEN_SIZE)
        try:
            told = json.loads(data)
            return f"Bearer {told.get('token') or told['access_token']}"
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            why = "its token service answers with no token"
            raise SourceUnreachable(source=self._source, why=why) from error

    def _refused(self, why: str) -> SourceRefused:
        return SourceRefused(source=self._source, why=why, credentials=CHECK)
