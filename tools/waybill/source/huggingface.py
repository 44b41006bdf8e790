"""A repo at a Hugging Face endpoint, by the real client library."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import IO

import httpx2
from huggingface_hub import HfApi, ModelCardData, hf_hub_url, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    validate_repo_id,
)
from huggingface_hub.utils._http import hf_request_event_hook

from waybill import digest as digests
from waybill.digest import is_commit
from waybill.errors import (
    BadValue,
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
from waybill.source.card import license_in, license_of
from waybill.source.reach import Reach
from waybill.source.streams import patiently, resumed
from waybill.source.web import Asker, Web, from_byte, no_redirect, refusal, total_size
from waybill.store.connect import check_endpoint, trusting

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

        Raises BadValue for the repo and the endpoint, BadFile for the CA bundle.
        """
        try:
            validate_repo_id(repo)
        except HFValidationError as error:
            why = "it must be owner/name, each of letters, digits, '-', '_' and '.'"
            raise BadValue(what="repo of the source", value=repo, why=why) from error
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
        try:
            with self._errors():
                info = self._api.model_info(
                    self._repo, revision=self._revision, files_metadata=True, timeout=30
                )
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            why = "what it says of the repo is not what a hub says"
            raise SourceUnreachable(source=self, why=why) from error
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
            repo=str(self._info.id),
            commit=self._info.sha,
            license=self._license,
            signed=self._signed,
            asked=None if _is_same(self._repo, str(self._info.id)) else self._repo,
        )

    @cached_property
    def _license(self) -> str | None:
        """As the endpoint tells it, else as the model card says."""
        card = self._info.card_data
        told = license_in(vars(card)) if isinstance(card, ModelCardData) else None
        return told or license_of(self)

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
        return patiently(lambda: self._said(place, whatever=not path))

    def _said(self, place: str, *, whatever: bool) -> bytes | None:
        """A hub of another kind may say anything, `whatever` it is, of what it does not know."""
        response = self._ask(place)
        code = response.status_code
        unknown = whatever and response.is_client_error
        if code == httpx2.codes.NOT_FOUND or (unknown and code != httpx2.codes.TOO_MANY_REQUESTS):
            response.close()
            return None
        return self._web.read(self._web.checked(response), dsse.LIMIT)

    def files(self) -> Sequence[SourceFile]:
        found = []
        for sibling in self._info.siblings or []:
            lfs, size = sibling.lfs, sibling.size
            if not isinstance(size, int) or size < 0:
                why = f"it does not tell the size of {sibling.rfilename}"
                raise SourceUnreachable(source=self, why=why)
            found.append(
                SourceFile(
                    safe_path(str(sibling.rfilename), self._repo),
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
        response = self._get(url, from_byte(at))
        sent = total_size(response)
        if sent not in (None, size):
            response.close()
            why = f"it sends {sent} bytes of a file of {size}"
            raise SourceUnreachable(source=self, why=why)
        return self._web.body(response, at)

    @cached_property
    def _web(self) -> Web:
        reach = Reach(ca_bundle=self._ca_bundle)
        return Web(Asker(self, _CREDENTIALS), self._api.endpoint, reach)

    def _ask(self, url: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        known = build_hf_headers()
        authorization = known.pop("authorization", None)
        return self._web.ask("GET", url, {**known, **(headers or {})}, authorization)

    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        response = self._ask(url, headers)
        if response.is_success:
            return response
        response.close()
        raise self._refused(response)

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
            OfflineModeIsEnabled,
            OSError,
            ValueError,
        ) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> WaybillError:
        response = getattr(error, "response", None)
        if response is not None:
            return self._refused(response, getattr(error, "server_message", None))
        why = next(iter(str(error).splitlines()), type(error).__name__)
        return SourceUnreachable(source=self, why=why)

    def _refused(self, response: httpx2.Response, said: str | None = None) -> WaybillError:
        """By Hugging Face's codes, where the hub itself says them; `said` explains it."""
        said = said or response.headers.get("x-error-message")
        why = f"{refusal(response)}: {'; '.join(said.splitlines())}" if said else refusal(response)
        code = response.headers.get("x-error-code") if self._web.is_own(response.url) else None
        if code and response.status_code in (401, 403):
            # Whoever is not signed in is told the same of a repo that there is not.
            asked = _GATE if code == Unsigned.hf_code else _CREDENTIALS
            return SourceRefused(source=self, why=why, credentials=asked)
        if code == RepoNotFound.hf_code:
            return RepoNotFound(repo=self._repo, url=self._api.endpoint)
        if code == RevisionNotFound.hf_code:
            return RevisionNotFound(
                repo=self._repo, revision=self._revision, url=self._api.endpoint
            )
        return self._web.failure(response, why)


def _is_same(asked: str, told: str) -> bool:
    """Case does not count, and of a name that was asked for without an owner the hub says whose."""
    wanted, found = asked.lower(), told.lower()
    return found == wanted or ("/" not in wanted and found.endswith(f"/{wanted}"))


def _named(told: bytes) -> list[str]:
    """Digests of signatures; none where a hub of another kind says something of its own."""
    with suppress(ValueError, RecursionError):
        match json.loads(told):
            case {"signatures": [*named]}:
                return [one for one in named if digests.is_digest(str(one))]
    return []


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
