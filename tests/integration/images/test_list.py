"""What a registry has of the images that a release may run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.images import AMD64, ARM64, Built, archive, build, index_of, layer, of_the_chart
from tests.integration.source.registry import Registry
from tests.pages import REPO
from tests.services import free_port, needs
from tests.unit.cli.conftest import Ran, Waybill
from waybill.source import streams

ENVOY = "docker.io/envoyproxy/envoy:v1.40.0"


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs("WAYBILL_TEST_HELM4"))
    monkeypatch.setenv("WAYBILL_PROJECT", str(REPO))


def size_of(image: Built) -> int:
    """Bytes of all that its manifest names."""
    value = json.loads(image.manifest)
    return sum(one["size"] for one in (value["config"], *value["layers"]))


def pushed(waybill: Waybill, registry: Registry, images: dict[str, Built], folder: Path) -> None:
    """Below `mirror/`."""
    folder.mkdir()
    built, out = archive(folder / "images.tar", images), folder / "bundle"
    save = ("images", "save", *images, "--archive", built, "--no-chart", "--out", out)
    assert waybill(*save).code == 0
    assert waybill("images", "push", out, "--to", f"{registry.host}/mirror").code == 0


def listed(ran: Ran) -> dict[str, tuple[str, int | None]]:
    """Name -> digest and size."""
    assert ran.code == 0, ran.err
    return {one["name"]: (one["digest"], one.get("size")) for one in ran.result["images"]}


def test_it_has_some_by_digest_and_size_and_the_others_are_told(
    empty: Registry, tmp_path: Path, waybill: Waybill
) -> None:
    every = of_the_chart()
    there = dict(list(every.items())[::2])
    pushed(waybill, empty, there, tmp_path / "pushed")
    ask = ("images", "list", "--from", f"{empty.host}/mirror")
    ran = waybill(*ask, "--json")
    assert listed(ran) == {
        name: (image.digest, size_of(image)) if name in there else ("", None)
        for name, image in every.items()
    }
    for name in every:
        missing = f"there is no image {name} in {empty.host}/mirror"
        assert (missing in ran.err) is (name not in there)
    rows = {line.split()[0]: line for line in waybill(*ask).out.splitlines()[1:]}
    assert rows.keys() == every.keys()
    assert all((image.digest in rows[name]) is (name in there) for name, image in every.items())


def test_an_environment_asks_for_what_it_runs_alone(
    empty: Registry, tmp_path: Path, waybill: Waybill
) -> None:
    every = of_the_chart()
    pushed(waybill, empty, every, tmp_path / "pushed")
    ran = waybill("images", "list", "--env", "dev", "--from", f"{empty.host}/mirror", "--json")
    found = listed(ran)
    assert found.items() <= {name: (i.digest, size_of(i)) for name, i in every.items()}.items()
    assert 0 < len(found) < len(every)


def test_an_archive_is_asked_before_the_registry(
    empty: Registry, tmp_path: Path, waybill: Waybill
) -> None:
    every = of_the_chart()
    pushed(waybill, empty, every, tmp_path / "pushed")
    ours = build([layer({"envoy": b"ours"})])
    built = archive(tmp_path / "ours.tar", {ENVOY: ours})
    ran = waybill("images", "list", "--from", f"{empty.host}/mirror", "--archive", built, "--json")
    found = listed(ran)
    assert found.pop(ENVOY) == (ours.digest, size_of(ours))
    assert found == {n: (i.digest, size_of(i)) for n, i in every.items() if n != ENVOY}


def test_of_several_platforms_that_one_counts(empty: Registry, waybill: Waybill) -> None:
    made = [build([layer({"n": name})], kind) for name, kind in ((b"a", AMD64), (b"b", ARM64))]
    images = [replace(one, manifest=json.dumps(json.loads(one.manifest)).encode()) for one in made]
    repo = "envoyproxy/envoy"
    for image in images:
        for data in image.blobs.values():
            empty.push(data, "any", repo)
        assert empty.put(json.loads(image.manifest), "one", repo) == image.digest
    index = json.loads(index_of([(images[0], AMD64), (images[1], ARM64)]))
    kind = "application/vnd.oci.image.index.v1+json"
    empty.put({**index, "mediaType": kind}, "v1.40.0", repo)
    for platform, image in zip(("linux/amd64", "linux/arm64/v8"), images, strict=True):
        ran = waybill("images", "list", "--from", empty.host, "--platform", platform, "--json")
        assert listed(ran)[ENVOY] == (image.digest, size_of(image))


def test_a_registry_that_does_not_answer_is_no_empty_one(
    waybill: Waybill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ASKING", ())
    ran = waybill("images", "list", "--from", f"127.0.0.1:{free_port()}")
    assert ran.code == 7
