"""An index made to do harm: whatever it says, it is refused or it harms nothing."""

import base64
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.bundle.bundles import (
    DECISION,
    FILES,
    bytes_below,
    pack,
    rewrite_index,
    small_pieces,
    write,
)
from waybill import digest as digests
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.format import Index, member_header
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Loading
from waybill.errors import BadFile, BadValue, DamagedIndex, UnsafePath, WaybillError
from waybill.manifest import STATEMENT, STATEMENT_TYPE, canonical
from waybill.store.store import Store

Change = Callable[[dict[str, Any]], object]


def refusal(bundle: Path, store: Store, change: Change) -> WaybillError:
    """What an index with this change, and its own digest right, is refused for."""
    facts = json.loads((bundle / "bundle.json").read_bytes())
    change(facts)
    rewrite_index(bundle, facts)
    before = bytes_below(Path(store.backend.root))  # type: ignore[attr-defined]
    with pytest.raises(WaybillError) as caught:
        Loading.plan(BundleCargo(Bundle.open([bundle])), store, DECISION)
    assert bytes_below(Path(store.backend.root)) == before  # type: ignore[attr-defined]
    return caught.value


def first(facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = facts["parts"][0]["extents"][0]
    return found


def renamed(name: str) -> Change:
    """Another member's name, all offsets and sizes still right."""

    def change(facts: dict[str, Any]) -> None:
        part = facts["parts"][0]
        old, part["extents"][0]["member"] = first(facts)["member"], name
        length = part["extents"][0]["length"]
        more = len(_header(name, length)) - len(_header(old, length))
        for extent in part["extents"]:
            extent["at"] += more
        part["size"] += more

    return change


def _header(name: str, length: int) -> bytes:
    try:
        return member_header(name, length)
    except UnicodeError:
        return b""


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "Acme/../../x", "/etc/passwd", "a//b", "./a", "a/.", "", ".."),
        *("a\\b", "a\nb", "a\x1b[2Jb", "n" * 241, "a/" * 600 + "a", "\udc80"),
    ],
)
def test_a_member_that_leaves_or_confuses_is_refused(name: str, bundle: Path, store: Store) -> None:
    if name == "\udc80":
        path = bundle / "bundle.json"
        path.write_bytes(path.read_bytes().replace(b'"member":"Acme', b'"member":"\\udc80', 1))
        with pytest.raises(DamagedIndex):
            Bundle.open([bundle])
        return
    error = refusal(bundle, store, renamed(name))
    assert isinstance(error, UnsafePath)
    assert str(bundle) in str(error)


ABOUT_NOTHING = json.dumps({"_type": STATEMENT, "subject": [], "predicateType": "x"})


def enveloped(statement: str) -> str:
    payload = base64.b64encode(statement.encode()).decode()
    return json.dumps({"payloadType": STATEMENT_TYPE, "payload": payload, "signatures": []})


def manifest_path(path: str) -> Change:
    """Another path in the manifest, with the commit and the statement to match."""

    def change(facts: dict[str, Any]) -> None:
        (revision,) = facts["revisions"]
        text = revision["manifest"].replace('"config.json"', json.dumps(path))
        revision["manifest"], revision["statements"] = text, []
        revision["commit"] = digests.hex_of(digests.of(text.encode()))[:40]

    return change


@pytest.mark.parametrize("path", ["../x", "/x", "a/../b", "a//b", "", ".", "empty.txt/x", "a\\b"])
def test_a_path_in_the_manifest_that_leaves_is_refused(
    path: str, bundle: Path, store: Store
) -> None:
    assert isinstance(refusal(bundle, store, manifest_path(path)), UnsafePath | BadFile)


def _set(*keys: str | int, to: object) -> Change:
    def change(facts: Any) -> None:
        for key in keys[:-1]:
            facts = facts[key]
        facts[keys[-1]] = to

    return change


EXTENT = ("parts", 0, "extents", 0)
WRONG: dict[str, tuple[Change, str]] = {
    "format 2": (_set("format", to=2), "$.format: 1 was expected"),
    "no format": (lambda f: f.pop("format"), "'format' is a required property"),
    "an unknown field": (_set("extra", to=1), "'extra' was unexpected"),
    "an unknown field of an extent": (_set(*EXTENT, "mode", to=1), "'mode' was unexpected"),
    "a base": (_set("base", to="sha256:" + "0" * 64), "$.base"),
    "no revision": (_set("revisions", to=[]), "$.revisions"),
    "a negative size": (_set("parts", 0, "size", to=-1), "less than the minimum"),
    "a negative length": (_set(*EXTENT, "length", to=-512), "less than the minimum"),
    "a length that is text": (_set(*EXTENT, "length", to="1"), "not of type 'integer'"),
    "a fraction": (_set(*EXTENT, "length", to=1.5), "not of type 'integer'"),
    "a part size of nothing": (_set("partSize", to=1), "less than the minimum"),
    "a digest that is none": (_set("parts", 0, "digest", to="md5:1"), "does not match"),
    "a digest with a newline": (
        lambda f: _set("parts", 0, "digest", to=f["parts"][0]["digest"] + "\n")(f),
        "too long",
    ),
    "an upstream with a newline": (
        _set("revisions", 0, "upstream", to="a" * 40 + "\n"),
        "$.revisions[0].upstream",
    ),
    "another commit": (_set("revisions", 0, "commit", to="0" * 40), "not that of its manifest"),
    "an overlap": (_set(*EXTENT, "at", to=0), "part-00001.tar has a gap"),
    "a gap": (lambda f: _set(*EXTENT, "at", to=first(f)["at"] + 512)(f), "has a gap"),
    "a wrong part size": (_set("parts", 0, "size", to=512), "has the wrong size"),
    "an unknown blob": (_set(*EXTENT, "blob", to="sha256:" + "0" * 64), "holds an unknown blob"),
    "a hole in a blob": (_set("parts", 1, "extents", 0, "offset", to=1), "is not whole"),
    "no parts": (_set("parts", to=[]), "is not whole"),
    "statements about others": (
        _set("revisions", 0, "statements", to=[ABOUT_NOTHING]),
        "is about another manifest",
    ),
    "statements that are none": (_set("revisions", 0, "statements", to=["x"]), "no in-toto"),
    "signatures that are none": (_set("revisions", 0, "signatures", to=["{}"]), "no envelope"),
    "signatures of others": (
        _set("revisions", 0, "signatures", to=[enveloped(ABOUT_NOTHING)]),
        "is about another manifest",
    ),
    "nested too deep": (_set("revisions", 0, "statements", to=["[" * 100_000]), "recursion"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_index_that_does_not_fit_its_format_is_refused(
    what: str, bundle: Path, store: Store
) -> None:
    change, told = WRONG[what]
    error = refusal(bundle, store, change)
    assert isinstance(error, BadFile)
    assert str(error).startswith(f"{bundle}/bundle.json cannot be used: ")
    assert told in str(error)
    assert error.exit_code == 2


def test_a_repo_that_is_none_is_refused(bundle: Path, store: Store) -> None:
    error = refusal(bundle, store, _set("revisions", 0, "repo", to="../../x"))
    assert isinstance(error, BadValue)


def test_pieces_of_another_number_are_refused(bundle: Path, store: Store) -> None:
    def change(facts: dict[str, Any]) -> None:
        weights = digests.of(FILES["model.safetensors"])
        facts["blobs"][weights]["pieces"].append(weights)

    assert "wrong number of pieces" in str(refusal(bundle, store, change))


@pytest.mark.parametrize("size", [2**50, 2**53 - 1024, 2**53, 10**300])
def test_a_huge_size_is_refused_at_once(size: int, bundle: Path, store: Store) -> None:
    """All offsets agree, so that nothing else is wrong with it."""

    def change(facts: dict[str, Any]) -> None:
        part = facts["parts"][-1]
        last = part["extents"][-1]
        last["at"] += len(member_header(last["member"], size)) - 512
        facts["blobs"][last["blob"]]["size"] = last["length"] = size
        part["size"] = last["at"] + size + 1024

    if size < 2**53 - 1024:
        assert "is not in it" in str(refusal(bundle, store, change))
    else:
        facts = json.loads((bundle / "bundle.json").read_bytes())
        change(facts)
        (bundle / "bundle.json").write_text(json.dumps(facts))
        with pytest.raises(DamagedIndex, match="not JSON of ours"):
            Bundle.open([bundle])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b"NaN",
        b"1e999",
        b'{"format": 1, "format": 1}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_an_index_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(data)
    with pytest.raises(DamagedIndex, match=r"bundle\.json is damaged: ") as caught:
        Bundle.open([tmp_path])
    assert "another medium of the bundle" in caught.value.advice
    assert caught.value.exit_code == 4


def test_an_index_in_another_form_than_the_canonical_one_is_refused(bundle: Path) -> None:
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))
    with pytest.raises(DamagedIndex, match="its own digest, or its canonical form, is not right"):
        Bundle.open([bundle])


def test_an_index_survives_being_written_and_read(bundle: Path) -> None:
    data = (bundle / "bundle.json").read_bytes()
    index = Index.parse(data, "here")
    assert Index.parse(index.data, "there") == index


@pytest.fixture(scope="module")
def index_facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("index")
    with small_pieces():
        pack(write(folder / "model", FILES), folder / "out")
    found: dict[str, Any] = json.loads((folder / "out" / "bundle.json").read_bytes())
    return found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    return [path, *(found for key in keys for found in _places(value[key], (*path, key)))]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_anywhere_is_refused_or_harmless(
    index_facts: dict[str, Any], data: st.DataObject
) -> None:
    """One value replaced by any other: an error of ours, or an index that agrees with itself."""
    facts = deepcopy(index_facts)
    place = data.draw(st.sampled_from(_places(facts)[1:]))
    _set(*place, to=data.draw(json_values))(facts)
    facts.pop("digest", None)
    with small_pieces():
        try:
            facts["digest"] = digests.of(canonical(facts))
            text = canonical(facts)
        except ValueError:
            text = json.dumps(facts).encode()
        try:
            index = Index.parse(text, "here")
        except WaybillError:
            return
        assert index.data == text
