"""Pins files: quoted, canonical, strict, written whole."""

import errno
import os
import re
import threading
from operator import methodcaller
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from waybill.deliver import pins
from waybill.deliver.pins import Pin, Pins, Revision, Slot
from waybill.digest import Digest
from waybill.errors import BadFile, RefMoved, StoreFull

A = Revision("acme/chat", Digest("sha256:" + "1" * 64), 140_000_000_000, "sha256:" + "5" * 64)
B = Revision("acme/chat", Digest("sha256:" + "2e" * 32), 7)
C = Revision("acme/chat", Digest("sha256:" + "c" * 64), 0)

ONE = Pins().with_stable("chat", A)

hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
digit_hexes = st.text("0123456789", min_size=64, max_size=64)
digests = st.one_of(hexes, digit_hexes).map(lambda text: Digest(f"sha256:{text}"))
revisions = st.builds(
    Revision,
    repo=st.sampled_from(["acme/chat", "1/2", "0x10/1e5", "No/null"]),
    digest=digests,
    size=st.integers(0, 10**18 - 1),
    provenance=st.one_of(st.just(""), digests),
)
names = st.one_of(
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?", fullmatch=True),
    st.sampled_from(["no", "on", "null", "1e5", "0x1f", "123", "true", "0o7"]),
)


@st.composite
def any_pins(draw: st.DrawFn) -> Pins:
    held = Pins()
    for model, revision in draw(st.lists(st.tuples(names, revisions), max_size=8)):
        held = held.with_stable(model, revision)
    return held


def scalars(text: str) -> list[yaml.ScalarNode]:
    found: list[yaml.ScalarNode] = []

    def walk(node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            found.append(node)
        for child in node.value if isinstance(node, yaml.MappingNode) else []:
            walk(child[0])
            walk(child[1])

    root = yaml.compose(text)
    assert root is not None
    walk(root)
    return found


@given(any_pins())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, held: Pins) -> None:
    path = tmp_path_factory.mktemp("pins") / "dev.yaml"
    pins.update(path, lambda _: held)
    assert pins.load(path) == held
    assert pins.load(path).text == path.read_text()


@given(any_pins())
def test_every_scalar_is_a_quoted_string(held: Pins) -> None:
    for node in scalars(held.text):
        assert node.style == '"', node.value
        assert node.tag == "tag:yaml.org,2002:str"


@given(any_pins(), st.randoms())
def test_order_of_building_does_not_show(held: Pins, random: Random) -> None:
    models = list(held.models.items())
    random.shuffle(models)
    assert Pins(dict(models)).text == held.text


@given(any_pins(), names, revisions)
def test_pins_stay_within_their_schema(held: Pins, model: str, revision: Revision) -> None:
    moved = held.with_stable(model, revision)
    assert Draft202012Validator(pins.SCHEMA).is_valid(yaml.safe_load(moved.text))
    pin = moved.models[model]
    assert pin.stable == revision
    assert {slot.commit for slot in pin.traffic.values()} == set(pin.revisions)
    assert sum(slot.weight for slot in pin.traffic.values()) == 100
    assert {k: v for k, v in moved.models.items() if k != model} == {
        k: v for k, v in held.models.items() if k != model
    }


def test_commit_of_digits_survives_yaml() -> None:
    assert A.commit == "1" * 40
    assert f'"{A.commit}":' in ONE.text
    value = yaml.safe_load(ONE.text)["global"]["pins"]["chat"]
    assert value["traffic"] == {"stable": {"commit": "1" * 40, "weight": "100"}}
    assert value["revisions"]["1" * 40]["size"] == "140000000000"


def test_first_line_says_that_tools_write_it() -> None:
    assert Pins().text.splitlines()[0].startswith("# Written by waybill: do not edit.")
    assert yaml.safe_load(Pins().text) == {"global": {"pins": {}}}


def test_old_stable_becomes_previous_and_older_ones_go() -> None:
    pin = ONE.with_stable("chat", B).with_stable("chat", C).models["chat"]
    assert pin.traffic == {"stable": Slot(C.commit, 100), "previous": Slot(B.commit, 0)}
    assert pin.revisions == {C.commit: C, B.commit: B}
    assert pin.previous == B


def test_back_to_the_previous_swaps_the_two() -> None:
    pin = ONE.with_stable("chat", B).with_stable("chat", A).models["chat"]
    assert (pin.stable, pin.previous) == (A, B)


def test_same_stable_leaves_traffic_alone() -> None:
    split = Pin(
        {A.commit: A, B.commit: B}, {"stable": Slot(A.commit, 90), "canary": Slot(B.commit, 10)}
    )
    assert Pins({"chat": split}).with_stable("chat", A).models["chat"] == split


def test_new_stable_ends_a_canary() -> None:
    split = Pin(
        {A.commit: A, B.commit: B}, {"stable": Slot(A.commit, 90), "canary": Slot(B.commit, 10)}
    )
    pin = Pins({"chat": split}).with_stable("chat", B).models["chat"]
    assert pin.traffic == {"stable": Slot(B.commit, 100), "previous": Slot(A.commit, 0)}


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "global: {}", "global: {pins: {}}"])
def test_file_without_pins_pins_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.yaml").write_text(text)
    assert pins.load(tmp_path / "dev.yaml") == Pins()


def test_missing_file_pins_nothing(tmp_path: Path) -> None:
    assert pins.load(tmp_path / "dev.yaml") == Pins()


@pytest.mark.parametrize(
    ("pattern", "by", "why"),
    [
        (r'"1{40}":', f"{'1' * 40}:", "this key is not a string; quote it"),
        (r'"140000000000"', "140000000000", "140000000000 is not a string; quote it"),
        (r'"140000000000"', '"1.4e+11"', "size: '1.4e+11' is not a number of bytes"),
        (r'"100"', '"101"', "weight: '101' is not a weight from 0 to 100"),
        (r'"100"', '"90"', "chat: the weights add up to 90 instead of 100"),
        (r'"stable"', '"main"', "known are: stable, canary, previous"),
        (r'"commit": "1{40}"', '"commit": "main"', "'main' is not a commit of 40 hex digits"),
        (r'"commit": "1{40}"', f'"commit": "{"2" * 40}"', f"stable names {'2' * 40}, which is not"),
        (r'"sha256:1{64}"', f'"sha256:{"3" * 64}"', f"{'1' * 40} is not the commit of its digest"),
        (r'"sha256:1{64}"', '"md5:0"', "'md5:0' is not sha256: and 64 hex digits"),
        (r'"acme/chat"', '"chat"', "'chat' is not owner/name"),
        (r'"chat":', '"Chat":', "'Chat' is not a name of at most 24"),
        (r'"provenance"', '"origin"', "the key 'origin' is not known"),
        (r'      "traffic"[^$]*', "", "global.pins.chat: the key 'traffic' is missing"),
        (r'"pins":', '"pin":', "the key 'pin' is not known; known are: pins"),
        (r'"size"', '"repo": "a/b"\n          "size"', "the key 'repo' stands there twice"),
    ],
)
def test_file_that_somebody_edited_is_refused(
    tmp_path: Path, pattern: str, by: str, why: str
) -> None:
    text, count = re.subn(pattern, by, ONE.text, count=1)
    assert count
    path = tmp_path / "dev.yaml"
    path.write_text(text)
    with pytest.raises(BadFile, match=re.escape(f"{path} cannot be used: ")) as caught:
        pins.load(path)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_update_makes_the_folder_and_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "values/pins/dev.yaml"
    assert pins.update(path, lambda held: held.with_stable("chat", A))
    assert [file.name for file in path.parent.iterdir()] == ["dev.yaml"]


def test_unchanged_file_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    pins.update(path, lambda _: ONE)
    before = path.stat()
    assert not pins.update(path, lambda held: held.with_stable("chat", A))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [file.name for file in tmp_path.iterdir()] == ["dev.yaml"]


def test_change_that_raises_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    pins.update(path, lambda _: ONE)

    def change(_: Pins) -> Pins:
        raise RefMoved(repo="a/b", ref="pins/x")

    with pytest.raises(RefMoved):
        pins.update(path, change)
    assert path.read_text() == ONE.text
    assert [file.name for file in tmp_path.iterdir()] == ["dev.yaml"]


def test_draft_of_a_killed_writer_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    (tmp_path / ".dev.yaml.new").write_text("half a fi" * 1000)
    pins.update(path, lambda _: ONE)
    assert path.read_text() == ONE.text
    assert [file.name for file in tmp_path.iterdir()] == ["dev.yaml"]


def test_no_update_of_two_writers_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"

    def write(number: int) -> None:
        for at in range(3):
            pins.update(path, methodcaller("with_stable", f"m-{number}-{at}", A))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pins.load(path).models) == 12


def fails(code: int) -> OSError:
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (errno.ENOSPC, StoreFull, "is full: No space left on device"),
        (errno.EROFS, BadFile, r"dev.yaml cannot be used: it cannot be written \(Read-only"),
    ],
)
def test_disk_that_refuses_leaves_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[Exception],
    sentence: str,
) -> None:
    path = tmp_path / "dev.yaml"
    pins.update(path, lambda _: ONE)

    def refuse(_: int) -> None:
        raise fails(code)

    with monkeypatch.context() as patch, pytest.raises(error, match=sentence):
        patch.setattr(os, "fsync", refuse)
        pins.update(path, lambda held: held.with_stable("chat", B))
    assert path.read_text() == ONE.text
    assert [file.name for file in tmp_path.iterdir()] == ["dev.yaml"]


def test_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="File name too long"):
        pins.load(tmp_path / ("x" * 300))
