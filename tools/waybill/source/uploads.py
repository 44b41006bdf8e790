"""Writing to an OCI registry (distribution spec 1.1): blobs in pieces, taken over, or gone on with.

Oras for Python takes files of the disk, begins anew where an upload breaks, and reads no ranges;
the programs in Go would be one more thing to carry. What is missing to the client that
reads are the requests of an upload.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from waybill import digest as digests
from waybill.digest import CHUNK, PIECE, Digest
from waybill.errors import (
    Corrupt,
    RegistryRefused,
    RegistryUnreachable,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
)
from waybill.manifest import Descriptor
from waybill.source import streams
from waybill.source.begun import Begun
from waybill.source.docker_config import CHECK
from waybill.source.reach import Reach
from waybill.source.reference import Place
from waybill.source.registry import MANIFESTS, Registry
from waybill.store.base import Advance, Content

_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
_PASSING = (httpx2.codes.REQUEST_TIMEOUT, httpx2.codes.TOO_EARLY, httpx2.codes.TOO_MANY_REQUESTS)
"""Refusals that say nothing of what was asked: it may be asked again."""
_UPLOADS = "blobs/uploads/"
_EMPTY = {"Content-Length": "0"}


class Uploads(Registry):
    """One repository that is written to.

    Every method raises RegistryUnreachable and RegistryRefused; what was begun and not ended the
    registry forgets by itself.
    """

    def __init__(self, place: Place, repository: str, reach: Reach) -> None:
        self.name = f"{place.host}/{repository}"
        super().__init__(self.name, place.base, repository, reach)
        self._begun = Begun(f"{place.base}/{repository}")

    def has(self, blob: Digest) -> bool:
        with self._named():
            return self._head(f"blobs/{blob}", {}) is not None

    def digest_of(self, reference: str) -> Digest | None:
        """What a tag or a digest leads to; None where it leads nowhere."""
        accept = {"Accept": ", ".join(MANIFESTS)}
        with self._named():
            if (told := self._head(f"manifests/{reference}", accept)) is None:
                return None
            return Digest(told) if digests.is_digest(told) else self.manifest(reference)[1]

    def _head(self, path: str, headers: Mapping[str, str]) -> str | None:
        """The digest that it tells, '' where it tells none; None when it is not there."""
        response = self._settled("HEAD", self._url(path), headers)
        if response.status_code == httpx2.codes.NOT_FOUND:
            return None
        return str(self._web.checked(response).headers.get("docker-content-digest", ""))

    def _settled(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes = b""
    ) -> httpx2.Response:
        """The answer to what may be asked again, its body dropped; one that is none is not taken.

        Raises SourceUnreachable.
        """

        def ask() -> httpx2.Response:
            response = self._ask(method, url, headers, (lambda: [data]) if data else None)
            response.close()
            if _passes(response):
                raise self._web.failure(response)
            return response

        return streams.patiently(ask)

    def take_over(self, blob: Digest, other: str) -> bool:
        """Whether the registry gives us a blob that another repository of it has.

        It need not be willing, nor able to: the blob is sent then.
        """
        try:
            url = self._url(f"{_UPLOADS}?mount={blob}&from={other}")
            response = self._settled("POST", url, _EMPTY)
        except (SourceUnreachable, SourceRefused, SourceNotFound):
            return False
        return response.status_code == httpx2.codes.CREATED

    def upload(self, blob: Descriptor, content: Content, advance: Advance) -> None:
        """Send a blob; what broke, now or in an earlier run, is gone on with where it can be.

        Raises Corrupt before the registry is told that it is whole.
        """
        with self._named():
            sending = _Sending(blob, content, advance, self._begun.place(blob.digest))
            try:
                streams.patiently(
                    lambda: self._go_on(sending), streams.READING, lambda: sending.kept
                )
            except Corrupt:
                # What was damaged may be there already: nobody should go on with it.
                self._begun.drop(blob.digest)
                raise
            self._begun.drop(blob.digest)

    def _go_on(self, sending: _Sending) -> None:
        if sending.closed and self._head(f"blobs/{sending.blob.digest}", {}) is not None:
            # The answer alone was lost.
            return
        if not (sending.place and self._look(sending)):
            # Until there is another one, what was begun is not given up.
            begun = self._web.checked(self._ask("POST", self._url(_UPLOADS), _EMPTY))
            begun.close()
            place = self._location(begun)
            sending.go_to(0)
            sending.place = place
        while sending.size - sending.at > PIECE:
            self._send(sending, "PATCH", sending.place, PIECE)
        mark = "&" if "?" in sending.place else "?"
        place = f"{sending.place}{mark}digest={sending.blob.digest}"
        sending.closed = True
        self._send(sending, "PUT", place, sending.size - sending.at)

    def _look(self, sending: _Sending) -> bool:
        """Go to where it stands; a registry that does not say has to get it anew."""
        try:
            response = self._settled("GET", sending.place, {})
        except SourceUnreachable:
            return False
        told = _RANGE.fullmatch(response.headers.get("range", ""))
        if not (response.is_success and told):
            return False
        sending.go_to(int(told[1]) + 1 if int(told[1]) else 0)
        sending.kept = max(sending.kept, sending.at)
        sending.place = self._location(response, sending.place)
        return True

    def _send(self, sending: _Sending, method: str, place: str, length: int) -> None:
        begin = sending.at
        headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
        if begin or method == "PATCH":
            headers["Content-Range"] = f"{begin}-{begin + length - 1}"
        if not length:
            headers.pop("Content-Range", None)

        def body() -> Iterator[bytes]:
            if sending.at != begin:
                sending.go_to(begin)
            return sending.read(length)

        response = self._ask(method, place, headers, body)
        if response.is_client_error and not _passes(response):
            # It does not know this upload, or holds other bytes of it than these.
            sending.place = ""
            self._begun.drop(sending.blob.digest)
        self._web.checked(response).close()
        sending.kept = max(sending.kept, sending.at)
        if method == "PATCH":
            sending.place = self._location(response, sending.place)
            self._begun.keep(sending.blob.digest, sending.place)

    def put_manifest(self, data: bytes, media_type: str, tag: str) -> None:
        """Name it. All that it names has to be there."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        with self._named():
            url = self._url(f"manifests/{tag}")
            response = self._web.checked(self._settled("PUT", url, headers, data))
        told = response.headers.get("docker-content-digest", digests.of(data))
        if told != digests.of(data):
            why = f"it names {told} what it was given as {digests.of(data)}"
            raise RegistryUnreachable(registry=self.name, why=why)

    def _location(self, response: httpx2.Response, before: str = "") -> str:
        """Where to send to: the registry says it anew after each piece."""
        told = response.headers.get("location") or before
        if not told:
            raise SourceUnreachable(source=self.name, why="it does not say where to upload to")
        place = response.url.join(told)
        if response.url.scheme == "https" and place.scheme != "https":
            why = f"it wants the upload without encryption, at {place.scheme}://{place.host}"
            raise SourceUnreachable(source=self.name, why=why)
        return str(place)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors as of a place that is written to."""
        try:
            yield
        except SourceRefused as error:
            why = error.facts["why"]
            raise RegistryRefused(registry=self.name, why=why, credentials=CHECK) from error
        except (SourceUnreachable, SourceNotFound) as error:
            raise RegistryUnreachable(registry=self.name, why=error.facts["why"]) from error


def _passes(response: httpx2.Response) -> bool:
    """Whether the same question may be answered in a moment."""
    return response.is_server_error or response.status_code in _PASSING


@dataclass
class _Sending:
    """A blob on its way: `at` bytes are read and hashed, `place` is where the rest goes to.

    `kept` is how far the registry ever said that it had come, `closed` that it may be whole.
    `_hashed` is what was hashed up to the ends of pieces: a medium is read again from there alone.
    """

    blob: Descriptor
    content: Content
    advance: Advance
    place: str = ""
    at: int = 0
    kept: int = 0
    closed: bool = False
    _told: int = 0
    _sha: hashlib._Hash = field(default_factory=hashlib.sha256)
    _hashed: dict[int, hashlib._Hash] = field(default_factory=lambda: {0: hashlib.sha256()})

    @property
    def size(self) -> int:
        return self.blob.size

    def go_to(self, offset: int) -> None:
        """What was not hashed yet of what is there already is read for that."""
        # What lay behind is read anew, and need not end in the same places.
        self._hashed = {at: sha for at, sha in self._hashed.items() if at <= offset}
        self.at = max(self._hashed)
        self._sha = self._hashed[self.at].copy()
        for _ in self._chunks(offset - self.at):
            pass

    def read(self, length: int) -> Iterator[bytes]:
        """The next bytes. Raises Corrupt at the end of the blob."""
        yield from self._chunks(length)
        if self.at == self.size:
            found = digests.from_hex(self._sha.hexdigest())
            what = f"the blob {self.blob.digest}"
            digests.check(self.blob.digest, self.size, found, self.at, what)

    def _chunks(self, length: int) -> Iterator[bytes]:
        with self.content.open(self.at, length) as stream:
            for chunk in digests.chunks(stream, CHUNK):
                self._sha.update(chunk)
                self.at += len(chunk)
                # Bytes that are sent again were counted the first time.
                self.advance(max(0, self.at - self._told))
                self._told = max(self._told, self.at)
                yield chunk
        self._hashed[self.at] = self._sha.copy()
