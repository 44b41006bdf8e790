"""Answers of web servers: only the bytes that were asked for are taken."""

import httpx2
import pytest

from waybill.errors import SourceUnreachable
from waybill.source.reach import Reach
from waybill.source.transport import Transport
from waybill.source.web import Asker, Web


@pytest.fixture(scope="module")
def web() -> Web:
    return Web(Asker("it", "the token"), "http://127.0.0.1:1", Reach())


def partial(span: str) -> httpx2.Response:
    headers = {"Content-Range": span} if span else {}
    return httpx2.Response(206, headers=headers, content=iter([b"cdef"]))


@pytest.mark.parametrize(
    ("offset", "span"),
    [(2, "bytes 0-3/6"), (2, "bytes 20-23/60"), (2, ""), (2, "items 2-5/6"), (0, "bytes 0-3/6")],
)
def test_a_range_that_was_not_asked_for_is_not_taken(offset: int, span: str, web: Web) -> None:
    answer = partial(span)
    with pytest.raises(SourceUnreachable, match="it sends another range than it was asked for"):
        web.body(answer, offset)
    assert answer.is_closed


def test_the_range_that_was_asked_for_is_taken(web: Web) -> None:
    assert web.body(partial("bytes 2-5/6"), 2).read() == b"cdef"
    whole = httpx2.Response(200, content=iter([b"abcdef"]))
    assert web.body(whole, 2).read() == b"cdef"


@pytest.mark.parametrize("place", ["http://[::bad/", "/" + "a" * 70_000])
def test_a_redirect_to_what_is_no_address_is_told(
    place: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = httpx2.Response(302, headers={"Location": place})
    monkeypatch.setattr(Transport, "handle_request", lambda *_: led)
    with pytest.raises(SourceUnreachable, match=r"it cannot be read: (Invalid port|URL too long)"):
        web.ask("GET", "http://127.0.0.1:1/file")


def test_a_token_that_no_header_takes_is_told_and_not_shown(web: Web) -> None:
    """A registry's token service may answer with anything."""
    with pytest.raises(SourceUnreachable, match="a header of the request is none") as caught:
        web.ask("GET", "http://127.0.0.1:1/file", authorization="Bearer caf\u00e9")
    assert "caf" not in str(caught.value)
