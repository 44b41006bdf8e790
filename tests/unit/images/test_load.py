"""Loading: the stream that container runtimes get, and the program that takes it."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.images import archive, build, digest_of, layer
from tests.unit.bundle.bundles import flip
from tests.unit.cli.conftest import Waybill
from tests.unit.images.conftest import BASE, DATABASE, HUB, IMAGES, blobs_of
from waybill.bundle.media import Bundle
from waybill.deliver.images.load import archive_of, pipe
from waybill.digest import Digest
from waybill.errors import Corrupt, LoaderFailed
from waybill.source.images import ArchiveImages, resolve
from waybill.source.reference import Place, Reference


def streamed(bundle: Path, place: str | None = None) -> dict[str, bytes]:
    """The members of the archive as GNU tar reads them, and Python."""
    wanted = archive_of(Bundle.open([bundle]), Place.parse(place) if place else None)
    data = b"".join(wanted.chunks())
    listed = subprocess.run(["tar", "-tf", "-"], input=data, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    assert listed.stdout.decode().splitlines() == list(found)
    return found


def test_the_stream_is_a_layout_and_what_docker_reads(saved: Path) -> None:
    found = streamed(saved)
    for digest, data in blobs_of(*IMAGES.values()).items():
        assert found[f"blobs/sha256/{digest.removeprefix('sha256:')}"] == data
    index = json.loads(found["index.json"])
    names = {one["annotations"]["io.containerd.image.name"]: one for one in index["manifests"]}
    assert {name: one["digest"] for name, one in names.items()} == {
        name: image.digest for name, image in IMAGES.items()
    }
    docker = {one["RepoTags"][0]: one for one in json.loads(found["manifest.json"])}
    assert set(docker) == set(IMAGES)
    assert all(path in found for one in docker.values() for path in [one["Config"], *one["Layers"]])
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_names_are_those_that_pods_ask_for_in_a_mirror(saved: Path) -> None:
    index = json.loads(streamed(saved, "registry.internal:5000/all")["index.json"])
    names = {one["annotations"]["io.containerd.image.name"] for one in index["manifests"]}
    assert names == {
        "registry.internal:5000/all/acme/hub:1.0",
        "registry.internal:5000/all/library/database:17",
    }


def test_what_is_streamed_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    wanted = archive_of(Bundle.open([saved]), None)
    (tmp_path / "again.tar").write_bytes(b"".join(wanted.chunks()))
    images = ArchiveImages([tmp_path / "again.tar"])
    for name, built in IMAGES.items():
        assert resolve(images, Reference.parse(name)).manifest == built.manifest


def test_a_program_gets_every_byte_and_is_heard(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = pipe(["sh", "-c", f"cat > {out}; echo loaded"], [b"a" * 100_000, b"b"])
    assert said == "loaded"
    assert out.read_bytes() == b"a" * 100_000 + b"b"


def test_a_program_that_fails_says_why() -> None:
    chunks = [b"x" * 1_000_000] * 4
    with pytest.raises(LoaderFailed, match="no such socket"):
        pipe(["sh", "-c", "echo no such socket >&2; exit 3"], chunks)
    with pytest.raises(LoaderFailed, match="ended with 3"):
        pipe(["sh", "-c", "cat >/dev/null; exit 3"], chunks)


def test_damage_ends_the_program_before_it_has_all(saved: Path, tmp_path: Path) -> None:
    (place, *_) = Bundle.open([saved]).index.places[Digest(digest_of(BASE))]
    flip(saved / place[0].name, place[1].at + 600)
    wanted = archive_of(Bundle.open([saved]), None)
    done = tmp_path / "done"
    with pytest.raises(Corrupt):
        pipe(["sh", "-c", f"cat >/dev/null && echo > {done}"], wanted.chunks())
    assert not done.exists()


def test_the_runtime_is_the_first_that_is_here(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waybill: Waybill
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    ran = waybill("images", "load", saved)
    assert (ran.code, "ctr, docker, podman is not in PATH" in ran.err) == (2, True)
    podman = tmp_path / "bin/podman"
    podman.write_text(f'#!/bin/sh\necho "$@"; exec /bin/cat > {tmp_path}/got\n')
    podman.chmod(0o755)
    ran = waybill("images", "load", saved, "--json")
    assert ran.code == 0, ran.err
    assert (ran.result["runtime"], ran.result["said"]) == ("podman", "load")
    with tarfile.open(tmp_path / "got") as tar:
        assert "index.json" in tar.getnames()


def test_an_archive_counts_by_repository_and_tag(tmp_path: Path) -> None:
    image = build([layer({"a": b"1"})])
    path = archive(tmp_path / "a.tar", {"build.local/acme/hub:1.0": image})
    found = resolve(ArchiveImages([path]), Reference.parse(HUB))
    assert (found.name, found.descriptor.digest) == (HUB, image.digest)
    assert DATABASE not in ArchiveImages([path])._archives[0].names
