"""Loading: the stream that container runtimes get, and the program that takes it."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import archive, build, digest_of, layer
from tests.unit.bundle.bundles import flip
from tests.unit.cli.conftest import Waybill
from tests.unit.images.conftest import BASE, DATABASE, HUB, IMAGES, blobs_of
from waybill.bundle.media import Bundle
from waybill.deliver.images.blobs import Blobs
from waybill.deliver.images.choices import command
from waybill.deliver.images.load import archive_of, pipe, write
from waybill.digest import Digest
from waybill.errors import (
    ArchiveUnwritable,
    BadFile,
    BadValue,
    Corrupt,
    ImageMissing,
    ImageTwice,
    LoaderFailed,
)
from waybill.source.archives import ArchiveImages
from waybill.source.images import resolve
from waybill.source.reference import Place, Reference


def streamed(bundle: Path, place: str | None = None) -> dict[str, bytes]:
    """The members of the archive as GNU tar reads them, and Python."""
    wanted = archive_of(Blobs(Bundle.open([bundle])), Place.parse(place) if place else None)
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
    wanted = archive_of(Blobs(Bundle.open([saved])), None)
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


def test_a_program_that_ends_well_before_it_has_all_has_failed() -> None:
    chunks = [b"x" * 1_000_000] * 4
    with pytest.raises(LoaderFailed, match="ended with 0 before it had all"):
        pipe(["sh", "-c", "head -c 100; echo loaded"], chunks)


def test_damage_ends_the_program_before_it_has_all(saved: Path, tmp_path: Path) -> None:
    (place, *_) = Bundle.open([saved]).index.places[Digest(digest_of(BASE))]
    flip(saved / place[0].name, place[1].at + 600)
    wanted = archive_of(Blobs(Bundle.open([saved])), None)
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


@pytest.mark.parametrize("name", [HUB, "build.local/acme/hub:1.0", "acme/hub:1.0"])
def test_an_archive_counts_by_repository_and_tag(name: str, tmp_path: Path) -> None:
    image = build([layer({"a": b"1"})])
    images = ArchiveImages([archive(tmp_path / "a.tar", {name: image})])
    found = resolve(images, Reference.parse(HUB))
    assert (found.name, found.descriptor.digest) == (HUB, image.digest)
    for other in (DATABASE, "example.com/hub:1.0"):
        with pytest.raises(ImageMissing):
            resolve(images, Reference.parse(other))


def test_of_two_the_whole_name_counts_and_else_nobody_guesses(tmp_path: Path) -> None:
    built = {one: build([layer({"a": one.encode()})]) for one in "abc"}
    paths = [
        archive(tmp_path / "a.tar", {"one.example/acme/hub:1.0": built["a"]}),
        archive(tmp_path / "b.tar", {"two.example/acme/hub:1.0": built["b"]}),
    ]
    with pytest.raises(ImageTwice, match=r"a\.tar \(one\.example/acme/hub:1\.0\), and .*b\.tar"):
        resolve(ArchiveImages(paths), Reference.parse(HUB))
    paths.append(archive(tmp_path / "c.tar", {HUB: built["c"]}))
    found = resolve(ArchiveImages(paths), Reference.parse(HUB))
    assert found.descriptor.digest == built["c"].digest
    paths[1:] = [archive(tmp_path / "d.tar", {"two.example/acme/hub:1.0": built["a"]})]
    found = resolve(ArchiveImages(paths), Reference.parse(HUB))
    assert found.descriptor.digest == built["a"].digest


def test_an_archive_without_names_says_so(tmp_path: Path) -> None:
    image = build([layer({"a": b"1"})])
    images = ArchiveImages([archive(tmp_path / "a.tar", {"": image})])
    with pytest.raises(BadFile, match="names none of its images"):
        resolve(images, Reference.parse(HUB))
    by_digest = Reference.parse(f"{HUB}@{image.digest}")
    assert resolve(images, by_digest).manifest == image.manifest


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_a_socket_of_containerd_is_for_containerd(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / runtime).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command(None, None) == [runtime, "load"]
    with pytest.raises(BadValue, match=f"it is containerd's, not {runtime}'s"):
        command(None, "/run/containerd.sock")
    (tmp_path / "ctr").touch(mode=0o755)
    assert command(None, "/run/x.sock")[:2] == ["ctr", "--address=/run/x.sock"]


def test_two_images_of_one_name_are_not_loaded(tmp_path: Path, waybill: Waybill) -> None:
    names = [f"{registry}.example/acme/hub:1.0" for registry in ("one", "two")]
    images = {name: build([layer({"a": name.encode()})]) for name in names}
    built = archive(tmp_path / "a.tar", images)
    arguments = ("images", "save", *names, "--archive", built, "--no-chart", "--out")
    assert waybill(*arguments, tmp_path / "b").code == 0
    ran = waybill("images", "load", tmp_path / "b", "--as", "registry.internal")
    assert (ran.code, "would both be registry.internal/acme/hub:1.0" in ran.err) == (2, True)


def test_a_program_is_named_without_its_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctr = tmp_path / "ctr"
    ctr.write_text("#!/bin/sh\necho no such socket; exit 1\n")
    ctr.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LoaderFailed, match="ctr images import failed: no such socket"):
        pipe(command("containerd", "/run/x.sock"), [])


def test_an_archive_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def chunks(fails: Exception | None = None) -> Iterator[bytes]:
        yield b"a" * 100_000
        if fails:
            raise fails
        yield b"b"

    write(tmp_path / "x.tar", chunks())
    assert (tmp_path / "x.tar").read_bytes() == b"a" * 100_000 + b"b"
    with pytest.raises(ArchiveUnwritable, match=r"missing/x\.tar cannot be written: No such file"):
        write(tmp_path / "missing/x.tar", chunks())
    with pytest.raises(ArchiveUnwritable, match="Is a directory"):
        write(tmp_path, chunks())
    for failure in (Corrupt(what="x", expected="a", found="b"), OSError("the medium")):
        with pytest.raises(type(failure), match=r"x|medium"):
            write(tmp_path / "y.tar", chunks(failure))
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.tar.partial").symlink_to("/dev/full")
    with pytest.raises(ArchiveUnwritable, match="No space left on device"):
        write(tmp_path / "x.tar", [b"a"])
