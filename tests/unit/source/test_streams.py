"""Streams that break: gone on with where they stopped, and given up after a while."""

import io
from collections.abc import Callable
from typing import IO

import pytest

from waybill.errors import SourceChanged, SourceUnreachable
from waybill.source import streams
from waybill.source.streams import Chunked, patiently, resumed, skip

DATA = bytes(range(256)) * 8


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of them waited for."""
    made: list[float] = []
    monkeypatch.setattr("waybill.source.streams.time.sleep", made.append)
    return made


class Line:
    """Opens DATA anywhere; each connection breaks after `lasts` bytes."""

    def __init__(self, lasts: int, error: Exception | None = None) -> None:
        self.lasts, self.error = lasts, error
        self.opened: list[int] = []

    def __call__(self, at: int) -> IO[bytes]:
        self.opened.append(at)
        return _Breaking(DATA[at:], self)  # type: ignore[return-value]


class _Breaking(io.RawIOBase):
    def __init__(self, data: bytes, line: Line) -> None:
        self._data, self._left, self._line = io.BytesIO(data), line.lasts, line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left and self._line.error:
            raise self._line.error
        count = self._data.readinto(memoryview(buffer)[: self._left])
        self._left -= count
        return count


def gone() -> SourceUnreachable:
    return SourceUnreachable(source="it", why="the line is cut")


@pytest.mark.parametrize("error", [None, gone()], ids=["ends early", "breaks"])
def test_a_stream_goes_on_where_it_stopped(error: Exception | None) -> None:
    line = Line(1000, error)
    with resumed(line, 10, len(DATA), "it") as stream:
        assert stream.read() == DATA[10:]
    assert line.opened == [10, 1010, 2010]


def test_a_stream_that_gives_nothing_is_given_up(slept: list[float]) -> None:
    with pytest.raises(SourceUnreachable, match="it ends after 0 bytes"):
        resumed(Line(0), 0, len(DATA), "it").read()
    assert slept == list(streams.READING)


def test_patience_begins_anew_with_each_byte(slept: list[float]) -> None:
    line = Line(100, gone())
    with resumed(line, 0, len(DATA), "it") as stream:
        assert stream.read() == DATA
    assert set(slept) == {streams.READING[0]}


def test_another_error_is_not_tried_again(slept: list[float]) -> None:
    line = Line(100, SourceChanged(path="a", source="it"))
    with pytest.raises(SourceChanged):
        resumed(line, 0, len(DATA), "it").read()
    assert not slept
    assert line.opened == [0]


def test_nothing_is_read_past_the_end() -> None:
    line = Line(10_000)
    with resumed(line, 5, 8, "it") as stream:
        assert stream.read() == DATA[5:8]
    with resumed(line, 8, 8, "it") as stream:
        assert stream.read() == b""
    assert line.opened == [5]


def test_a_question_is_asked_again_for_a_moment(slept: list[float]) -> None:
    answers: list[Callable[[], str]] = [lambda: _raise(gone()), lambda: "here"]
    assert patiently(lambda: answers.pop(0)()) == "here"
    with pytest.raises(SourceUnreachable):
        patiently(lambda: _raise(gone()))
    assert slept == [streams.ASKING[0], *streams.ASKING]


def _raise(error: Exception) -> str:
    raise error


def test_chunks_are_a_stream_that_ends_its_answer_once() -> None:
    ended: list[int] = []
    with Chunked(iter([b"", b"ab", b"", b"cde"]), lambda: ended.append(1)) as stream:
        assert stream.read(3) == b"ab"
        assert stream.read(2) == b"cd"
    stream.close()
    assert ended == [1]


def test_skipping_stops_at_the_end() -> None:
    stream = io.BytesIO(DATA)
    skip(stream, 10)
    assert stream.tell() == 10
    skip(stream, 10_000)
    assert stream.tell() == len(DATA)
