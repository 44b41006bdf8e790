"""Digests as OCI writes them, and pieces of 64 MiB."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill import digest as digests
from waybill.digest import PIECE
from waybill.errors import BadValue, Corrupt

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_digest_is_sha256_and_64_hex_digits() -> None:
    assert digests.of(b"") == EMPTY
    assert digests.parse(EMPTY) == EMPTY
    assert digests.from_hex(digests.hex_of(digests.of(b"x"))) == digests.of(b"x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY.upper(),
        EMPTY[:-1],
        EMPTY + "0",
        EMPTY + "\n",
        " " + EMPTY,
        EMPTY.removeprefix("sha256:"),
        EMPTY.replace("sha256", "sha512"),
        "sha256:" + "../" * 21 + "x",
        "sha256:" + "\u0660" * 64,
    ],
)
def test_any_other_text_is_no_digest(text: str) -> None:
    with pytest.raises(BadValue, match="it is not sha256: and 64 hex digits"):
        digests.parse(text)


@pytest.mark.parametrize("text", ["", "main", "0" * 39, "0" * 41, "A" * 40, "0" * 39 + "\n"])
def test_a_commit_is_40_lower_case_hex_digits(text: str) -> None:
    assert digests.parse_commit("0123456789abcdef" * 2 + "01234567")
    assert not digests.is_commit(text)
    with pytest.raises(BadValue, match="it is not 40 lower-case hex digits"):
        digests.parse_commit(text)


@given(st.integers(0, 40 * PIECE))
def test_pieces_cover_a_blob_once_and_in_order(size: int) -> None:
    spans = digests.piece_spans(size)
    assert [at for at, _ in spans] == [number * PIECE for number in range(len(spans))]
    assert sum(length for _, length in spans) == size
    assert all(length == PIECE for _, length in spans[:-1])
    assert all(length > 0 for _, length in spans)


@given(st.binary(max_size=1000), st.integers(1, 100))
def test_chunks_put_together_are_the_stream(data: bytes, size: int) -> None:
    found = list(digests.chunks(io.BytesIO(data), size))
    assert b"".join(found) == data
    assert all(0 < len(chunk) <= size for chunk in found)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_only_the_bytes_that_were_named_pass(named: bytes, found: bytes) -> None:
    stream = digests.verified(io.BytesIO(found), digests.of(named), len(named), "it")
    if named == found:
        assert b"".join(stream) == named
    else:
        with pytest.raises(Corrupt, match="it is corrupt"):
            list(stream)


def test_wrong_bytes_raise_only_after_all_were_read() -> None:
    data = bytes(3 * digests.CHUNK)
    stream = digests.verified(io.BytesIO(data), digests.of(b"other"), len(data), "it")
    assert [len(next(stream)) for _ in range(3)] == [digests.CHUNK] * 3
    with pytest.raises(Corrupt):
        next(stream)


def test_a_wrong_size_is_said_in_bytes_and_a_wrong_digest_in_digests() -> None:
    digest = digests.from_hex(hashlib.sha256(b"four").hexdigest())
    with pytest.raises(Corrupt, match="expected 4 bytes, found 5 bytes"):
        list(digests.verified(io.BytesIO(b"fours"), digest, 4, "it"))
    with pytest.raises(Corrupt, match=f"expected {digest}, found {digests.of(b'five')}"):
        list(digests.verified(io.BytesIO(b"five"), digest, 4, "it"))
