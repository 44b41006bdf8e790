"""A repo at a Hugging Face endpoint, by the real client library."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any
from urllib.request import getproxies

import httpx2
import urllib3
from huggingface_hub import HfApi, hf_hub_url, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    http_stream_backoff,
)
from huggingface_hub.utils._http import hf_request_event_hook

from waybill import digest as digests
from waybill.digest import CHUNK, is_commit
from waybill.errors import (
    RepoNotFound,
    RevisionNotFound,
    SourceRefused,
    SourceUnreachable,
    TooMuchSaid,
    Unsigned,
    WaybillError,
)
from waybill.manifest import safe_path
from waybill.sign import dsse, trust
from waybill.source.base import Origin, SourceFile
from waybill.source.card import license_of
from waybill.source.redirected import Body, Redirected
from waybill.source.streams import Chunked, resumed, skip
from waybill.source.web import from_byte, no_redirect, place_of
from waybill.store.connect import check_endpoint, trusting

_REDIRECTS = 10
_TIMEOUT = 30
_GATE = "what it asks for: a hub of ours for a signature, others for their terms to be accepted"
_CREDENTIALS = "that HF_TOKEN, or the file HF_TOKEN_PATH, holds a token that it trusts"


@dataclass(frozen=True)
class _Answer:
    place: str
    """The server, as people are shown it."""
    status: int
    headers: Mapping[str, str]
    body: IO[bytes]

    @property
    def location(self) -> str | None:
        """Where it leads to, if it does."""
        leads = self.status in (301, 302, 303, 307, 308)
        return self.headers.get("location") if leads else None

    def begins(self, asked: int) -> int:
        """The first byte that it has."""
        return asked if self.status == httpx2.codes.PARTIAL_CONTENT else 0

    def wrong(self, size: int, asked: int) -> str:
        """Why these are not the bytes of a file of that size from there on, if they are not."""
        if self.status not in (httpx2.codes.OK, httpx2.codes.PARTIAL_CONTENT):
            # What the hub redirects to may refuse, too: its link is out of date then.
            return f"{self.place} answered {self.status}"
        if "content-encoding" in self.headers:
            return "it sends another encoding than it was asked for"
        told = self.headers.get("content-length", "")
        sent = self.begins(asked) + int(told) if told.isascii() and told.isdecimal() else size
        return f"it sends {sent} bytes of a file of {size}" if sent != size else ""


class HuggingFaceSource:
    """One revision; the branch or tag is resolved to a commit once, then only that is read."""

    local = False

    def __init__(
        self,
        repo: str,
        revision: str,
        *,
        endpoint: str | None = None,
        ca_bundle: str | None = None,
        signed: bool = False,
    ) -> None:
        """`signed`: it may be a hub of ours, which has signatures, too.

        Raises BadValue for the endpoint, BadFile for the CA bundle.
        """
        self._repo, self._revision = repo, revision
        self._may_be_signed, self._ca_bundle = signed, ca_bundle
        if ca_bundle:
            _trust(ca_bundle)
        self._api = HfApi(endpoint=endpoint)
        check_endpoint("Hugging Face endpoint", self._api.endpoint)

    def __str__(self) -> str:
        return f"{self._api.endpoint}/{self._repo}"

    @cached_property
    def _info(self) -> ModelInfo:
        with self._errors():
            info = self._api.model_info(
                self._repo, revision=self._revision, files_metadata=True, timeout=30
            )
        if not is_commit(str(info.sha)):
            raise SourceUnreachable(source=self, why=f"it names no commit, but {info.sha!r}")
        return info

    @property
    def commit(self) -> str:
        return str(self._info.sha)

    @property
    def origin(self) -> Origin:
        return Origin(
            source=self._api.endpoint,
            repo=self._info.id,
            commit=self._info.sha,
            license=self._license,
            signed=self._signed,
        )

    @cached_property
    def _license(self) -> str | None:
        """As the endpoint tells it, else as the model card says."""
        told = self._info.card_data.get("license") if self._info.card_data else None
        return told if isinstance(told, str) else license_of(self)

    @cached_property
    def _signed(self) -> tuple[bytes, ...]:
        told = self._signatures("") if self._may_be_signed else None
        named = _named(told or b"{}")
        if len(named) > trust.ENVELOPES:
            raise TooMuchSaid(what=f"{self._repo}@{self._info.sha}", limit=trust.ENVELOPES)
        each = (self._signatures(f"/{one}") for one in named)
        return tuple(one for one in each if one is not None)

    def _signatures(self, path: str) -> bytes | None:
        """What the hub says of them; None where it does not know."""
        place = f"{self._api.endpoint}/api/models/{self._repo}/signatures/{self._info.sha}{path}"
        data = bytearray()
        with (
            self._errors(),
            http_stream_backoff("GET", place, headers=build_hf_headers(), timeout=30) as response,
        ):
            # A hub of another kind may say anything of what it does not know.
            code = response.status_code
            unknown = not path and response.is_client_error
            if code == httpx2.codes.NOT_FOUND or (
                unknown and code != httpx2.codes.TOO_MANY_REQUESTS
            ):
                return None
            response.raise_for_status()
            for chunk in response.iter_bytes(CHUNK):
                data += chunk
                if len(data) > dsse.LIMIT:
                    raise SourceUnreachable(source=self, why="a signature of it is too long")
        return bytes(data)

    def files(self) -> Sequence[SourceFile]:
        found = []
        for sibling in self._info.siblings or []:
            lfs, size = sibling.lfs, sibling.size
            if size is None or size < 0:
                why = f"it does not tell the size of {sibling.rfilename}"
                raise SourceUnreachable(source=self, why=why)
            found.append(
                SourceFile(
                    safe_path(sibling.rfilename, self._repo),
                    size,
                    stamp=lfs.sha256 if lfs else str(sibling.blob_id),
                    digest=digests.from_hex(lfs.sha256) if lfs else None,
                    git_oid=None if lfs else sibling.blob_id,
                )
            )
        return sorted(found, key=lambda file: file.path)

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        url = hf_hub_url(
            self._repo, file.path, revision=self._info.sha, endpoint=self._api.endpoint
        )
        return resumed(partial(self._open, url, file.size), offset, file.size, self)

    def _open(self, url: str, size: int, at: int) -> IO[bytes]:
        """The file's bytes from there on. Raises SourceUnreachable unless those are sent."""
        answer = self._followed(url, {"Accept-Encoding": "identity", **from_byte(at)})
        if why := answer.wrong(size, at):
            answer.body.close()
            raise SourceUnreachable(source=self, why=why)
        skip(answer.body, at - answer.begins(at))
        return answer.body

    def _followed(self, url: str, headers: Mapping[str, str]) -> _Answer:
        """The answer of the last place."""
        for _ in range(_REDIRECTS):
            with self._errors():
                answer = self._ask(url, headers)
                if answer.location is None:
                    return answer
                # Read, so that the connection can be used again.
                skip(answer.body, CHUNK)
                answer.body.close()
                last, target = httpx2.URL(url), httpx2.URL(url).join(answer.location)
                if why := no_redirect(last, target):
                    raise SourceUnreachable(source=self, why=why)
                # A name and a password in there would be sent on as credentials.
                url = str(target.copy_with(username=None, password=None))
        raise SourceUnreachable(source=self, why=f"it redirects more than {_REDIRECTS} times")

    def _ask(self, url: str, headers: Mapping[str, str]) -> _Answer:
        """What is not the endpoint's gets no credentials."""
        if self._is_own(url):
            return self._by_httpx(url, {**build_hf_headers(), **headers})
        if {"all", httpx2.URL(url).scheme} & getproxies().keys():
            return self._by_httpx(url, headers)
        answer = self._elsewhere.get(url, headers)
        body: Any = Body(answer, self._errors)
        return _Answer(_shown(url), answer.status, answer.headers, body)

    def _is_own(self, url: str) -> bool:
        own, there = place_of(self._api.endpoint), place_of(url)
        # It may want to be asked by https.
        return there == own or (own[::2] == ("http", 80) and there == ("https", own[1], 443))

    def _by_httpx(self, url: str, headers: Mapping[str, str]) -> _Answer:
        with ExitStack() as stack:
            asked = http_stream_backoff(
                "GET",
                url,
                # Who asks too often is told when to come again; all else is tried again by us.
                retry_on_status_codes=httpx2.codes.TOO_MANY_REQUESTS,
                retry_on_exceptions=(),
                headers=dict(headers),
                follow_redirects=False,
                timeout=_TIMEOUT,
            )
            response = stack.enter_context(asked)
            if response.is_error:
                response.raise_for_status()
            body: Any = Chunked(self._chunks(response), stack.pop_all().close)
            return _Answer(_shown(url), response.status_code, response.headers, body)

    def _chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        with self._errors():
            yield from response.iter_raw()

    @cached_property
    def _elsewhere(self) -> Redirected:
        context = trusting(self._ca_bundle) if self._ca_bundle else httpx2.create_ssl_context()
        return Redirected(context)

    def is_unchanged(self, file: SourceFile) -> bool:  # noqa: ARG002
        """A commit does not change."""
        return True

    def holds(self, path: Path) -> bool:  # noqa: ARG002
        return False

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (
            HfHubHTTPError,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            httpx2.StreamError,
            urllib3.exceptions.HTTPError,
            OfflineModeIsEnabled,
            OSError,
            ValueError,
        ) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> WaybillError:
        response = getattr(error, "response", None)
        if response is None:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            return SourceUnreachable(source=self, why=why)
        why = _why(error, response)
        # What the hub redirects to may refuse too: its link is out of date then, not our token.
        if str(response.url).startswith(self._api.endpoint):
            code = response.headers.get("x-error-code")
            if response.status_code in (401, 403):
                asked = _GATE if code == Unsigned.hf_code else _CREDENTIALS
                return SourceRefused(source=self, why=why, credentials=asked)
            if code == RepoNotFound.hf_code:
                return RepoNotFound(repo=self._repo, url=self._api.endpoint)
            if code == RevisionNotFound.hf_code:
                return RevisionNotFound(
                    repo=self._repo, revision=self._revision, url=self._api.endpoint
                )
        return SourceUnreachable(source=self, why=why)


def _named(told: bytes) -> list[str]:
    """Digests of signatures; none where a hub of another kind says something of its own."""
    with suppress(ValueError):
        match json.loads(told):
            case {"signatures": [*named]}:
                return [one for one in named if digests.is_digest(str(one))]
    return []


def _why(error: Exception, response: httpx2.Response) -> str:
    """What the server said. Never the whole URL: one that S3 signed is as good as a password."""
    told = getattr(error, "server_message", None) or response.headers.get("x-error-message")
    said = f"{_shown(str(response.url))} answered {response.status_code} {response.reason_phrase}"
    return f"{said}: {'; '.join(told.splitlines())}" if told else said


def _shown(url: str) -> str:
    place = httpx2.URL(url)
    return f"{place.scheme}://{place.netloc.decode()}"


def _trust(ca_bundle: str) -> None:
    """Let the library trust these authorities alone, in all of this process."""
    set_client_factory(partial(_client, trusting(ca_bundle)))


def _client(context: ssl.SSLContext | bool = True) -> httpx2.Client:
    """What the library makes by itself, but for whom it trusts and where it follows to."""
    hooks: dict[str, list[Callable[..., object]]] = {
        "request": [hf_request_event_hook],
        "response": [_stay],
    }
    return httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=None, verify=context)


def _stay(response: httpx2.Response) -> None:
    """Raises ValueError for an answer that leads from https to http."""
    if response.has_redirect_location:
        target = response.url.join(response.headers["location"])
        if why := no_redirect(response.url, target):
            raise ValueError(why)


set_client_factory(_client)
