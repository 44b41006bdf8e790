"""HTTP as sources need it: whom credentials go to, redirects, ranges, and errors in sentences."""

from __future__ import annotations

import re
import ssl
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO
from urllib.request import getproxies

import httpx2

from waybill.errors import (
    BadFile,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    WaybillError,
)
from waybill.source.reach import Reach
from waybill.source.streams import Chunked, skip
from waybill.source.transport import Transport
from waybill.store.connect import trusting

_REDIRECTS = 10
_TIMEOUT = 30
_STORING = 300
"""Seconds to wait for an answer; who was sent gigabytes may copy them before giving one."""
_CALM = 300.0
"""Seconds that a server may want not to be asked, all together, before one answer."""
_PLAIN = {"Accept-Encoding": "identity"}
"""Bytes as they are stored: ranges of a body that was compressed on the way mean nothing."""


@dataclass(frozen=True)
class Asker:
    """Who asks: the source as messages name it, and the credentials that people can check."""

    source: object
    credentials: str


class Web:
    """Asks one server. The token and the client certificate are for that server alone.

    Proxies are those of HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    """

    def __init__(self, asker: Asker, origin: str, reach: Reach) -> None:
        """Raises BadFile for a CA bundle or a client certificate that cannot be used."""
        self._asker, self._origin = asker, httpx2.URL(origin)
        self._ca_bundle = reach.ca_bundle
        self._known = self._client(_presenting(_trusting(reach.ca_bundle), reach))

    @cached_property
    def _stranger(self) -> httpx2.Client:
        """For servers that we are sent on to."""
        return self._client(_trusting(self._ca_bundle))

    def _client(self, context: ssl.SSLContext) -> httpx2.Client:
        # httpx knows the rules of proxies.
        proxied = getproxies().keys() & {"all", "http", "https"}
        transport = None if proxied else Transport(context)
        client = httpx2.Client(verify=context, timeout=_TIMEOUT, transport=transport)
        weakref.finalize(self, client.close)
        return client

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
        content: Iterable[bytes] | None = None,
    ) -> httpx2.Response:
        """The answer, its body not read yet, redirects followed. Raises SourceUnreachable.

        Content is sent once, and follows no redirect; `headers` say its length. A server that has
        been asked too often, and says for how long, is asked again after that.
        """
        left = _CALM
        while True:
            response = self._followed(method, url, headers, authorization, content)
            pause = _pause(response)
            if pause is None or pause > left or content is not None:
                return response
            response.close()
            time.sleep(pause)
            left -= pause

    def _followed(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        authorization: str | None,
        content: Iterable[bytes] | None,
    ) -> httpx2.Response:
        target, last = httpx2.URL(url), httpx2.URL(url)
        for _ in range(_REDIRECTS):
            told = {**_PLAIN, **(headers or {})}
            response = self._send(method, target, told, authorization, content)
            if not response.has_redirect_location or content is not None:
                return response
            response.close()
            with self._errors():
                # A name and a password in there would be sent on as credentials.
                led = target.join(response.headers["location"])
                last, target = target, led.copy_with(username=None, password=None)
            if why := no_redirect(last, target):
                raise self._unreachable(why)
        raise self._unreachable(f"it redirects more than {_REDIRECTS} times")

    def post(self, url: str, form: Mapping[str, str]) -> httpx2.Response:
        """The answer to a form. It may hold a secret, and so it follows no redirect."""
        with self._errors():
            request = self._known.build_request("POST", url, data=dict(form), headers=_PLAIN)
            return self._known.send(request, stream=True)

    def _send(
        self,
        method: str,
        url: httpx2.URL,
        headers: dict[str, str],
        authorization: str | None,
        content: Iterable[bytes] | None,
    ) -> httpx2.Response:
        own = self.is_own(url)
        client = self._known if own else self._stranger
        if own and authorization:
            headers["Authorization"] = authorization
        patience = httpx2.Timeout(_TIMEOUT, read=_TIMEOUT if content is None else _STORING)
        with self._errors():
            request = client.build_request(
                method, url, headers=headers, content=content, timeout=patience
            )
            return client.send(request, stream=True)

    def is_own(self, url: httpx2.URL) -> bool:
        """Whether credentials go there: the server may want to be asked by https."""
        own, there = _place(self._origin), _place(url)
        return there == own or (own[::2] == ("http", 80) and there == ("https", own[1], 443))

    def checked(self, response: httpx2.Response) -> httpx2.Response:
        """The answer if it is a good one. Raises SourceRefused, SourceNotFound, -Unreachable."""
        if response.is_success:
            return response
        response.close()
        raise self.failure(response)

    def failure(self, response: httpx2.Response, why: str = "") -> WaybillError:
        """`why`: more than that it refused."""
        source, code, why = self._asker.source, response.status_code, why or refusal(response)
        # Where we were sent on to may refuse too: its link is out of date then, not our token.
        if self.is_own(response.url):
            if code in (401, 403):
                return SourceRefused(source=source, why=why, credentials=self._asker.credentials)
            if code in (404, 410):
                return SourceNotFound(source=source, why=why)
        return SourceUnreachable(source=source, why=why)

    def body(self, response: httpx2.Response, offset: int = 0) -> IO[bytes]:
        """What the answer to `from_byte(offset)` holds from there on; closing it ends the answer.

        Of a server that serves no ranges the beginning is read and thrown away. Raises
        SourceUnreachable for other bytes than those.
        """
        if other := _other(response, offset):
            response.close()
            raise self._unreachable(f"it sends another {other} than it was asked for")
        chunks = Chunked(self._chunks(response), response.close)
        stream: IO[bytes] = chunks  # type: ignore[assignment]
        if offset and response.status_code != httpx2.codes.PARTIAL_CONTENT:
            skip(stream, offset)
        return stream

    def _chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        with self._errors():
            yield from response.iter_raw()

    def read(self, response: httpx2.Response, limit: int) -> bytes:
        """A small body, whole. Raises SourceUnreachable when it is not small."""
        data = b""
        with self.body(response) as stream:
            while len(data) <= limit and (chunk := stream.read(limit)):
                data += chunk
        if len(data) > limit:
            raise self._unreachable(f"it sends more than {limit:,} bytes of a list")
        return data

    def _unreachable(self, why: str) -> SourceUnreachable:
        return SourceUnreachable(source=self._asker.source, why=why)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError:
            # Its own message would quote the header.
            raise self._unreachable("a header of the request is none, as of a token") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise self._unreachable(why) from error


def no_redirect(last: httpx2.URL, target: httpx2.URL) -> str:
    """Why it is not followed; nothing where it may be."""
    allowed = {"http": ("http", "https"), "https": ("https",)}
    followed = target.scheme in allowed.get(last.scheme, ())
    return "" if followed else f"it redirects from {last.scheme} to {target.scheme}"


def refusal(response: httpx2.Response) -> str:
    """Who refused how. Never the whole URL: one that S3 signed is as good as a password."""
    place = f"{response.url.scheme}://{response.url.netloc.decode()}"
    return f"{place} answered {response.status_code} {response.reason_phrase}".rstrip()


def _pause(response: httpx2.Response) -> float | None:
    """Seconds that a server wants not to be asked, where it says so (RFC 9110, 10.2.3, and the
    IETF's draft on RateLimit header fields, as Hugging Face sends them)."""
    if response.status_code != httpx2.codes.TOO_MANY_REQUESTS:
        return None
    headers = response.headers
    told = re.fullmatch(r"(\d{1,6})", headers.get("retry-after", "")) or re.search(
        r";\s*t=(\d{1,6})\b", headers.get("ratelimit", "")
    )
    # Never none at all, so that the pauses come to an end.
    return max(float(told[1]), 1.0) if told else None


def from_byte(offset: int) -> dict[str, str]:
    return {"Range": f"bytes={offset}-"} if offset else {}


def _other(response: httpx2.Response, offset: int) -> str:
    """What an answer to `from_byte(offset)` has that was not asked for; nothing where it is right.

    A cache that ignores Range in its key gives the range that somebody else has asked for.
    """
    if "content-encoding" in response.headers:
        return "encoding"
    begin = f"bytes {offset}-"
    right = offset and response.headers.get("content-range", "").lower().startswith(begin)
    return "" if response.status_code != httpx2.codes.PARTIAL_CONTENT or right else "range"


def total_size(response: httpx2.Response) -> int | None:
    """Bytes of the whole file that an answer is, or is a range, of; None: it does not say."""
    _, _, total = response.headers.get("content-range", "").rpartition("/")
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        total = response.headers.get("content-length", "")
    return int(total) if total.isascii() and total.isdecimal() else None


def _place(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _trusting(ca_bundle: str | None) -> ssl.SSLContext:
    """These authorities alone, or those of the machine, as the Hugging Face client finds them."""
    return trusting(ca_bundle) if ca_bundle else httpx2.create_ssl_context()


def _presenting(context: ssl.SSLContext, reach: Reach) -> ssl.SSLContext:
    """With the client certificate, where there is one; a key may be in the same file."""
    if reach.client_certificate:
        try:
            # A passphrase would be asked for on the terminal: no key of a service has one.
            context.load_cert_chain(reach.client_certificate, reach.client_key, password="")
        except (OSError, ssl.SSLError) as error:
            why = f"it is no client certificate with its key ({error.strerror or error})"
            raise BadFile(path=reach.client_certificate, why=why) from error
    return context
