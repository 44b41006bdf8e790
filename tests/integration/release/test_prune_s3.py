"""Real processes that prune a real MinIO: killed, two at once, and beside all kinds of writers."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.release.test_promote_s3 import waybill
from tests.printed import printed
from tests.unit.release.world import REPO, World
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.bundle.sideload import Decision, Loading
from waybill.source.directory import DirectorySource
from waybill.store import layout
from waybill.store.audit import audit, inventory
from waybill.store.layout import Ref
from waybill.store.lease import last_prune
from waybill.store.store import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LONG_AGO = "2026-01-01T00:00:00.000Z"
FILES = 40
Write = Callable[[], subprocess.Popen[str]]


@contextmanager
def dated(s3: "S3Client", then: str) -> Iterator[None]:
    """What is put meanwhile was written then: MinIO lets its administrator say so."""

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Minio-Source-Mtime"] = then

    s3.meta.events.register("before-sign.s3.PutObject", add)
    yield
    s3.meta.events.unregister("before-sign.s3.PutObject", add)


def age(s3: "S3Client", store: Store, prefix: str = "") -> None:
    """Everything in the store was written long ago."""
    bucket, _, place = store.url.removeprefix("s3://").partition("/")
    with dated(s3, LONG_AGO):
        for stat in store.backend.list(prefix):
            at = {"Bucket": bucket, "Key": f"{place}/{stat.key}"}
            found = s3.get_object(**at)  # type: ignore[arg-type]
            data, about = found["Body"].read(), found["Metadata"]
            s3.put_object(**at, Body=data, Metadata=about)  # type: ignore[arg-type]


def run(world: World, *words: str, code: int = 0) -> dict[str, Any]:
    with waybill(world, *words) as process:
        said, complaint = process.communicate()
    assert process.returncode == code, complaint
    answer = printed(said)
    told: dict[str, Any] = answer["error" if code else "result"]
    return told


def assert_sound(store: Store) -> None:
    assert audit(store, inventory(store)).wrong == {}


def pack(world: World, name: str, files: dict[str, bytes]) -> Path:
    """A bundle of these files, as the repo of the world."""
    source = world.project / f"source-{name}"
    source.mkdir()
    for path, data in files.items():
        (source / path).write_bytes(data)
    out = world.project / f"bundle-{name}"
    Packing.plan(DirectorySource(source), REPO).run([out])
    return out


def many(seed: int) -> dict[str, bytes]:
    """Half of the files are in every such model."""
    return {
        f"part-{number:03}.safetensors": b"%d of %d" % (number, seed * (number % 2)) * 50
        for number in range(FILES)
    }


@pytest.fixture
def pruned(world: World, s3: "S3Client") -> Store:
    """Three models were loaded long ago, one after the other; the first is needed no more."""
    store, main = world.store("test"), Decision((Ref("heads", "main"),), "a test", "to see")
    for seed in (1, 2, 3):
        bundle = Bundle.open([pack(world, str(seed), many(seed))])
        Loading.plan(BundleCargo(bundle), store, main).run()
    age(s3, store)
    noted = run(world, "prune", "test", "--keep", "2", "--delete")
    assert len(noted["noted"]["revisions"]) == 1 and noted["deleted"]["keys"] == []
    return store


def prune(world: World) -> subprocess.Popen[str]:
    return waybill(world, "prune", "test", "--keep", "2", "--delete")


def sideload(world: World, seed: int, *options: str) -> subprocess.Popen[str]:
    return waybill(
        world, "sideload", str(world.project / f"bundle-{seed}"), "--to", "test", *options
    )


def blobs(store: Store) -> int:
    return sum(1 for _ in store.backend.list(layout.BLOBS))


def test_what_was_noted_is_deleted_and_the_rest_is_whole(world: World, pruned: Store) -> None:
    before = blobs(pruned)
    told = run(world, "prune", "test", "--keep", "2", "--delete")
    gone = [key for key in told["deleted"]["keys"] if key.startswith(layout.BLOBS)]
    assert before - blobs(pruned) == len(gone) > FILES // 2
    assert len(pruned.revisions(REPO)) == 2
    assert run(world, "verify", "--store", "test")["wrong"] == {}
    assert run(world, "prune", "test", "--keep", "2")["deleted"]["keys"] == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_killed_prune_leaves_what_is_whole_and_the_next_goes_on(
    share: float, world: World, pruned: Store, s3: "S3Client"
) -> None:
    target = blobs(pruned) - share * FILES / 2
    with prune(world) as process:
        while process.poll() is None:
            if last_prune(pruned) is None and blobs(pruned) <= target:
                process.kill()
                break
            time.sleep(0.005)
    assert_sound(pruned)
    if last_prune(pruned) is None:  # else its last word was out before the signal came
        assert run(world, "prune", "test", "--delete", code=7)["code"] == "BeingPruned"
        age(s3, pruned, layout.LEASE)
    for _ in range(2):
        run(world, "prune", "test", "--keep", "2", "--delete")
    assert_sound(pruned)
    assert len(pruned.revisions(REPO)) == 2
    run(world, "sideload", str(world.project / "bundle-1"), "--to", "test")
    assert_sound(pruned)


def ends(processes: list[subprocess.Popen[str]], allowed: set[int]) -> list[int]:
    said = [process.communicate(timeout=200) for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) <= allowed, said
    return codes


@pytest.mark.parametrize("lead", [0.0, 0.6])
def test_two_prunes_two_sideloads_and_a_promotion_at_once(
    lead: float, world: World, pruned: Store
) -> None:
    """What is being pruned comes back by two ways, beside what is new and shares its blobs."""
    run(world, "sideload", str(world.project / "bundle-1"), "--to", "dev")
    commit = world.store("dev").resolve(REPO, "main")
    run(world, "pin", "dev", "chat", f"{REPO}@{commit}")
    pack(world, "4", many(4))
    prunes = [prune(world) for _ in range(2)]
    time.sleep(lead)
    writers = [
        sideload(world, 1, "--branch", "again"),
        sideload(world, 4, "--branch", "new"),
        waybill(world, "promote", "--from", "dev", "--to", "test"),
    ]
    assert 0 in ends(prunes, {0, 7})
    assert ends(writers, {0}) == [0, 0, 0]
    assert_sound(pruned)
    for ref in (Ref("heads", "again"), Ref.pin("test", "chat")):
        head = pruned.head(REPO, ref)
        assert head and head.commit == commit
    for _ in range(2):
        run(world, "prune", "test", "--delete")
    assert_sound(pruned)
    assert set(pruned.revisions(REPO)) >= {commit, pruned.resolve(REPO, "new")}


def test_two_sideloads_of_the_same_and_of_overlapping_content(world: World, tmp_path: Path) -> None:
    for seed in (1, 2):
        pack(world, str(seed), many(seed))
    both = [sideload(world, seed, "--branch", f"b{seed}") for seed in (1, 1, 2, 2)]
    assert ends(both, {0}) == [0] * 4
    store = world.store("test")
    assert_sound(store)
    assert len(store.revisions(REPO)) == 2
    for seed in (1, 2):
        out = tmp_path / f"out-{seed}"
        run(world, "pull", f"{REPO}@b{seed}", "--from", "test", "--out", str(out))
        for path, data in many(seed).items():
            assert (out / path).read_bytes() == data
