"""Pin, promote and roll back across three buckets of a real MinIO, with races and kills."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.printed import result
from tests.unit.release.world import NAMES, REPO, World, carry_out
from waybill import digest as digests
from waybill.errors import AccessDenied, Corrupt, RefMoved, StoreUnreachable
from waybill.manifest import File, Manifest
from waybill.release import move, pin
from waybill.release.move import Reason
from waybill.store import layout
from waybill.store.audit import audit, inventory
from waybill.store.base import BytesContent
from waybill.store.s3 import S3Backend

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WRITERS = 8
SPAWN = multiprocessing.get_context("spawn")


def waybill(world: World, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "waybill", *words, "--json", "--project", str(world.project)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def assert_whole(world: World) -> None:
    for name in NAMES:
        store = world.store(name)
        assert audit(store, inventory(store)).wrong == {}


def test_same_bytes_and_pin_in_all_three(world: World) -> None:
    made = world.revision("dev", 1)
    world.pin("dev", made.commit)
    world.promote("dev", "test")
    world.promote("test", "prod")
    texts = {world[name].pins_path.read_text() for name in NAMES}
    assert len(texts) == 1
    for name in NAMES:
        assert world.ref(name) == world.stable(name) == made.commit
        assert len(world.store(name).referrers(REPO, made.commit)) == 2
    assert_whole(world)


def test_next_revision_sends_what_is_new_and_rollback_sends_nothing(world: World) -> None:
    one, two = (world.revision("dev", number).commit for number in (1, 2))
    for commit in (one, two):
        world.pin("dev", commit)
        copied = carry_out(world.plan("dev", "test"), by="a", why="b")
    assert [(c.blobs, c.skipped) for c in copied] == [(2, 1)]
    before = {stat.key for stat in world.store("test").backend.list("")}
    world.rollback("test")
    new = {stat.key for stat in world.store("test").backend.list("")} - before
    assert world.stable("test") == world.ref("test") == one
    assert len(new) == 1
    assert [record.commit for record in world.records("test")] == [one, two, one]


def large(world: World, size: int) -> str:
    """A revision of one blob that needs several S3 parts."""
    data = os.urandom(1 << 20) * (size >> 20)
    file = File("model.safetensors", digests.of(data), len(data))
    manifest = Manifest.of([file])
    store = world.store("dev")
    store.upload(file.descriptor, BytesContent(data))
    store.add_revision(REPO, manifest)
    return manifest.commit


def test_blob_of_several_parts_goes_from_bucket_to_bucket(world: World) -> None:
    commit = large(world, 160 << 20)
    world.pin("dev", commit)
    told: list[int] = []
    plan = world.plan("dev", "test")
    carry_out(plan, by="a", why="b", advance=told.append)
    assert sum(told) == plan.bytes == 160 << 20
    assert_whole(world)


def test_corrupt_source_is_named_and_the_target_untouched(world: World, s3: "S3Client") -> None:
    made = world.revision("dev", 1)
    world.pin("dev", made.commit)
    file = made.by_path["model.safetensors"]
    backend = world.store("dev").backend
    assert isinstance(backend, S3Backend)
    bucket, key = backend.bucket, f"models/{layout.blob(file.digest)}"
    meta = s3.head_object(Bucket=bucket, Key=key)["Metadata"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"x" * file.size, Metadata=meta)
    with pytest.raises(Corrupt, match=f"{file.digest} in {backend.place} is corrupt"):
        world.promote("dev", "test")
    assert world.store("test").revisions(REPO) == []
    assert world.ref("test") is None
    assert not world["test"].pins_path.exists()


def promote_when_all_are_ready(project: Path, by: str, barrier: Barrier) -> None:
    world = World(project, by)
    plan = world.plan("dev", "test")
    barrier.wait()
    try:
        carry_out(plan, by=by, why="race")
    except RefMoved:
        sys.exit(7)


def pin_when_all_are_ready(project: Path, commit: str, barrier: Barrier) -> None:
    step = pin.plan(World(project)["dev"], "chat", REPO, commit)
    barrier.wait()
    try:
        move.carry_out([step], Reason(commit, "race"))
    except RefMoved:
        sys.exit(7)


def raced(function: object, arguments: list[tuple[Path, str]]) -> list[int | None]:
    """Exit codes of one process for each of the arguments, all let go at one moment."""
    barrier = SPAWN.Barrier(len(arguments))
    writers = [
        SPAWN.Process(target=function, args=(*given, barrier))  # type: ignore[arg-type]
        for given in arguments
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    return [writer.exitcode for writer in writers]


def clone(world: World, name: str) -> Path:
    """Another checkout of the project: the same stores, pins files of its own."""
    project = world.project.with_name(name)
    shutil.copytree(world.project, project)
    return project


def test_of_eight_promotions_one_wins(world: World) -> None:
    one, two = (world.revision("dev", number).commit for number in (1, 2))
    world.pin("dev", one)
    world.promote("dev", "test")
    world.pin("dev", two)
    clones = [clone(world, f"clone-{number}") for number in range(WRITERS)]
    codes = raced(promote_when_all_are_ready, [(project, project.name) for project in clones])
    assert sorted(codes, key=str) == [0] + [7] * (WRITERS - 1)
    winner = clones[codes.index(0)]
    assert [record.by for record in world.records("test")] == [winner.name, "a test"]
    for project in clones:
        assert World(project).stable("test") == (two if project == winner else one)
    assert_whole(world)


def test_of_eight_pins_one_wins_and_the_file_agrees(world: World) -> None:
    commits = [world.revision("dev", number).commit for number in range(1, WRITERS + 1)]
    codes = raced(pin_when_all_are_ready, [(world.project, commit) for commit in commits])
    assert sorted(codes, key=str) == [0] + [7] * (WRITERS - 1)
    assert world.stable("dev") == world.ref("dev") == commits[codes.index(0)]
    assert len(world.records("dev")) == 1


def test_kill_at_any_moment_is_harmless_and_the_rerun_completes(world: World) -> None:
    first = world.revision("dev", 1).commit
    world.pin("dev", first)
    world.promote("dev", "test")
    commit = large(world, 200 << 20)
    world.pin("dev", commit)
    codes: list[int] = []
    for seconds in (0.5, 0.8, 1.1, 1.4, 1.7, 2.0):
        process = waybill(world, "promote", "--from", "dev", "--to", "test")
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        codes.append(process.returncode)
        assert world.ref("test") in (first, commit)
        assert world.stable("test") in (first, commit)
        assert_whole(world)
    assert -signal.SIGKILL in codes
    done = waybill(world, "promote", "--from", "dev", "--to", "test")
    out, said = done.communicate()
    assert done.returncode == 0, said
    assert result(out)["models"][0]["commit"] == commit
    assert world.ref("test") == world.stable("test") == commit
    assert_whole(world)


def test_status_goes_on_without_a_store_that_is_down(world: World) -> None:
    world.pin("dev", world.revision("dev", 1).commit)
    point_at(world, "prod", endpoint="http://127.0.0.1:9")
    process = waybill(world, "status")
    out, said = process.communicate()
    assert process.returncode == 0, said
    dev, _, prod = result(out)["environments"]
    assert dev["error"] is None
    assert "cannot be reached" in prod["error"]


def test_store_that_is_down_or_refuses_stops_a_promotion(world: World, tmp_path: Path) -> None:
    world.pin("dev", world.revision("dev", 1).commit)
    point_at(world, "test", endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        World(world.project).promote("dev", "test")
    with (tmp_path / "credentials").open("a") as file:
        file.write("[wrong]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n")
    point_at(world, "test", endpoint=world["dev"].endpoint, profile="wrong")
    with pytest.raises(AccessDenied, match="refuses access"):
        World(world.project).promote("dev", "test")
    assert not world["test"].pins_path.exists()


def point_at(world: World, name: str, **settings: str | None) -> None:
    path = world.project / "values/environments.yaml"
    value = yaml.safe_load(path.read_text())
    value["environments"][name] |= settings
    path.write_text(yaml.safe_dump(value, sort_keys=False))
