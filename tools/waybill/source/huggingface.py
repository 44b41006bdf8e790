"""A repo at a Hugging Face endpoint, by the real client library."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import IO

import httpx2
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
from waybill.source.web import no_redirect
from waybill.store.connect import check_endpoint, trusting

_TRIES = 5
_GATE = "what it asks for: a hub of ours for a signature, others for their terms to be accepted"
_CREDENTIALS = "that HF_TOKEN, or the file HF_TOKEN_PATH, holds a token that it trusts"


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
        self._may_be_signed = signed
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
        return io.BufferedReader(_Stream(self, url, offset, file.size), CHUNK)

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
    place = f"{response.url.scheme}://{response.url.host}"
    said = f"{place} answered {response.status_code} {response.reason_phrase}"
    return f"{said}: {'; '.join(told.splitlines())}" if told else said


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


class _Stream(io.RawIOBase):
    """A file's bytes by ranged GET; a broken connection goes on where it stopped."""

    def __init__(self, source: HuggingFaceSource, url: str, offset: int, size: int) -> None:
        self._source, self._url, self._at, self._size = source, url, offset, size
        self._stack = ExitStack()
        self._chunks: Iterator[bytes] | None = None
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest and self._at < self._size:
            self._rest = memoryview(self._next())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        with self._source._errors():
            for left in reversed(range(_TRIES)):
                chunks = self._open()  # Waits and tries again by itself.
                try:
                    chunk = next(chunks, b"")
                    self._at += len(chunk)
                    return chunk
                except httpx2.HTTPError:
                    self._disconnect()
                    if not left:
                        raise
        return b""

    def _open(self) -> Iterator[bytes]:
        if self._chunks is None:
            headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
            response = self._stack.enter_context(
                http_stream_backoff(
                    "GET",
                    self._url,
                    headers={**headers, "Range": f"bytes={self._at}-"} if self._at else headers,
                    follow_redirects=True,
                    timeout=30,
                )
            )
            response.raise_for_status()
            if self._at and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                raise SourceUnreachable(source=self._url, why="it does not serve ranges")
            sent = int(response.headers.get("Content-Length", self._size - self._at))
            if sent != self._size - self._at:
                why = f"it sends {self._at + sent} bytes of a file of {self._size}"
                raise SourceUnreachable(source=self._url, why=why)
            self._chunks = response.iter_bytes(CHUNK)
        return self._chunks

    def _disconnect(self) -> None:
        self._stack.close()
        self._chunks = None

    def close(self) -> None:
        self._disconnect()
        super().close()
