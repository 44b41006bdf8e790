"""A bundle of changes with the one that it builds on: together they are whole images."""

import shutil
from pathlib import Path

import pytest

from tests.images import Built, archive, build, digest_of, layer
from tests.integration.images.conftest import BASE, PIECE, Save, pulled
from tests.integration.images.test_containerd import (
    Containerd,
    containerd,  # noqa: F401 - a fixture
)
from tests.integration.source.registry import Registry
from tests.store_contents import noise
from tests.unit.bundle.bundles import flip
from tests.unit.cli.conftest import Waybill
from waybill.bundle.media import Bundle
from waybill.digest import Digest

SECOND = layer({"more": noise(2 * PIECE, 7)})
NEWER = build([BASE, SECOND, layer({"hub": b"newer"})])
NEWEST = build([BASE, SECOND, layer({"hub": b"newest"})])
NAMES = {
    "example.com/acme/other:2.0": NEWER,
    "example.com/acme/other:3.0": NEWEST,
}


class Bundles:
    """Three, each of what is new since the one before: of it alone, as `--base` names one."""

    def __init__(self, waybill: Waybill, first: Path) -> None:
        self.first, self._waybill = first, waybill
        (self.newer_name, newer), (self.newest_name, newest) = NAMES.items()
        self.newer = self._delta("newer", self.newer_name, newer, first)
        self.newest = self._delta("newest", self.newest_name, newest, self.newer)

    def _delta(self, out: str, name: str, image: Built, base: Path) -> Path:
        folder = self.first.parent / out
        built = archive(folder.with_suffix(".tar"), {name: image})
        ran = self._waybill(
            "images", "save", name, "--archive", built, "--no-chart", "--base", base,
            "--out", folder,
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert digest_of(BASE) not in Bundle.open([folder]).index.blobs
        return folder


@pytest.fixture
def bundles(save: Save, waybill: Waybill) -> Bundles:
    return Bundles(waybill, save())


@pytest.fixture
def into(
    containerd: Containerd,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[object, ...]:
    monkeypatch.setenv("PATH", str(containerd.programs), prepend=":")
    return ("--address", containerd.socket)


def test_a_runtime_gets_whole_images_of_both(
    containerd: Containerd,  # noqa: F811
    into: tuple[object, ...],
    bundles: Bundles,
    waybill: Waybill,
) -> None:
    ran = waybill("images", "load", bundles.newer, "--base", bundles.first, *into)
    assert ran.code == 0, ran.err
    assert containerd.digests()[bundles.newer_name] == NEWER.digest
    bases = ("--base", bundles.first, "--base", bundles.newer)
    ran = waybill("images", "load", bundles.newest, *bases, *into)
    assert ran.code == 0, ran.err
    assert containerd.digests()[bundles.newest_name] == NEWEST.digest
    states = {line[0]: (line[3], line[-1]) for line in containerd.ctr("images", "check")}
    assert {states[name] for name in NAMES} == {("complete", "true")}


def test_what_is_in_neither_is_named_with_the_next_step(
    into: tuple[object, ...], bundles: Bundles, waybill: Waybill
) -> None:
    for bases in ((), ("--base", bundles.newer)):
        ran = waybill("images", "load", bundles.newest, *bases, *into)
        assert ran.code == 2
        assert f"{bundles.newest_name} lacks {digest_of(BASE)}" in ran.err
        assert "give the earlier bundle, too (--base DIR)" in ran.err
    ran = waybill("images", "load", bundles.newer, "--base", bundles.first.parent, *into)
    assert (ran.code, "no bundle" in ran.err) == (2, True), ran.err


def test_damage_of_the_earlier_one_brings_no_image(
    containerd: Containerd,  # noqa: F811
    into: tuple[object, ...],
    bundles: Bundles,
    waybill: Waybill,
) -> None:
    place = Bundle.open([bundles.first]).index.places[Digest(digest_of(BASE))]
    flip(bundles.first / place[0][0].name, place[0][1].at + 3 * PIECE)
    load = ("images", "load", bundles.newer, "--base", bundles.first, *into)
    ran = waybill(*load, "--as", "damaged.internal")
    assert (ran.code, digest_of(BASE) in ran.err) == (4, True)
    assert not [name for name in containerd.digests() if name.startswith("damaged.internal")]


def test_a_registry_that_has_nothing_gets_all_of_both(
    empty: Registry, bundles: Bundles, waybill: Waybill, tmp_path: Path
) -> None:
    push = ("images", "push", bundles.newer, "--to", empty.host)
    ran = waybill(*push)
    assert (ran.code, "or give it, too (--base DIR)" in ran.err) == (2, True)
    medium = shutil.copytree(bundles.first, tmp_path / "medium")
    for part in bundles.first.glob("part-*.tar"):
        part.unlink()
    ran = waybill(*push, "--base", bundles.first)
    assert (ran.code, "missing: part-00001.tar" in ran.err) == (2, True)
    ran = waybill(*push, "--base", bundles.first, "--base", medium, "--json")
    assert ran.code == 0, ran.err
    assert ran.result["bytes"] == sum(map(len, NEWER.blobs.values())) - len(NEWER.manifest)
    assert pulled(empty, "acme/other", "2.0") == NEWER
    again = waybill("images", "push", bundles.newest, "--to", empty.host, "--json")
    assert again.result["bytes"] < PIECE, "the registry has the rest by now"


def test_damage_of_the_earlier_one_is_named_and_does_not_arrive(
    empty: Registry, bundles: Bundles, waybill: Waybill
) -> None:
    ((part, extent),) = Bundle.open([bundles.first]).index.places[Digest(digest_of(BASE))]
    flip(bundles.first / part.name, extent.at + 3 * PIECE)
    push = ("images", "push", bundles.newer, "--to", empty.host)
    ran = waybill(*push, "--base", bundles.first)
    assert (ran.code, part.name in ran.err) == (4, True)
    assert not empty.blob(digest_of(BASE)).exists()
    assert not list(empty.folder.rglob("_manifests/tags"))
