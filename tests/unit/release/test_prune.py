"""What a prune keeps, notes and deletes, what it says of it, and what a pruned history is."""

import fcntl
import json
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import bytes_below
from tests.unit.release.interleave import age
from tests.unit.release.test_commands import Run
from tests.unit.release.test_prune_beside import sweep
from tests.unit.release.world import OTHER, REPO, World, content, manifest, upstream
from waybill import digest as digests
from waybill.errors import (
    PruneHeldUp,
    RevisionNotFound,
    RevisionPruned,
    StoreUnreachable,
    WaybillError,
)
from waybill.store import layout, mirror
from waybill.store import prune as module
from waybill.store.audit import audit, inventory
from waybill.store.base import BytesContent
from waybill.store.connect import connect
from waybill.store.layout import Ref, RepoId
from waybill.store.lease import held, last_prune
from waybill.store.prune import DAY, Plan, Retention, carry_out, survey
from waybill.store.store import Store

PIN = Ref.pin("dev", "chat")
COMMITS = [manifest(number).commit for number in range(6)]


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(world, capsys)


@pytest.fixture
def dev(world: World) -> Store:
    """Five revisions were pinned, one after the other, more than a week ago."""
    for number in range(1, 6):
        world.pin("dev", world.revision("dev", number).commit)
    age(folder(world))
    return world.store("dev")


def folder(world: World) -> Path:
    return world.project / "stores/dev"


def prune(store: Store, keep: int = 3) -> Plan:
    with held(store, "a test") as right:
        plan = survey(store, Retention(keep))
        carry_out(plan, right)
    return plan


def revisions(store: Store) -> set[int]:
    return {COMMITS.index(commit) for commit in store.revisions(REPO)}


def sound(store: Store) -> bool:
    return audit(store, inventory(store)).wrong == {}


def test_the_first_run_notes_and_the_second_deletes(dev: Store) -> None:
    first = prune(dev)
    assert (first.doomed, revisions(dev)) == ((), {1, 2, 3, 4, 5})
    second = prune(dev)
    assert [one.stat for one in second.doomed] == [one.stat for one in first.noted]
    assert {one.since for one in second.doomed} == {first.at}
    assert revisions(dev) == {3, 4, 5} and sound(dev)
    gone, shared = content(1), digests.of(content(1)["README.md"])
    for data in (gone["config.json"], gone["model.safetensors"], manifest(1).data):
        assert dev.backend.stat(layout.blob(digests.of(data))) is None
    assert dev.backend.stat(layout.blob(shared))
    assert set(dev.aliases(REPO)) == {upstream(number) for number in (3, 4, 5)}
    assert prune(dev).doomed == prune(dev).noted == ()


@pytest.mark.parametrize(("error", "given_back"), [(PruneHeldUp, True), (StoreUnreachable, False)])
def test_a_prune_that_fails_gives_the_lease_back_if_nothing_is_on_its_way(
    error: type[WaybillError], given_back: bool, dev: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on S3, where the clock here is ahead: nothing can be signed that ends in time."""

    def fail(_key: str, _until: float) -> bool:
        raise error(url=dev.url, why="a test")

    prune(dev)
    monkeypatch.setattr(dev.backend, "delete", fail)
    monkeypatch.setattr(module, "_PAUSES", (0.0,))
    with pytest.raises(error):
        prune(dev)
    assert (last_prune(dev) is not None) == given_back


@pytest.mark.parametrize(("keep", "stay"), [(2, {4, 5}), (4, {2, 3, 4, 5}), (9, {1, 2, 3, 4, 5})])
def test_the_last_revisions_of_a_ref_stay(dev: Store, keep: int, stay: set[int]) -> None:
    for _ in range(2):
        prune(dev, keep)
    assert revisions(dev) == stay


def test_what_a_ref_went_back_to_counts_once(world: World, dev: Store) -> None:
    for number in (1, 5, 1, 5):
        world.pin("dev", COMMITS[number])
    age(folder(world))
    for _ in range(2):
        prune(dev)
    assert revisions(dev) == {1, 4, 5}


def test_each_ref_keeps_its_own_and_records_stay_all(world: World, dev: Store) -> None:
    dev.move(REPO, Ref("tags", "v1"), COMMITS[1], expected=None, by="a", why="b")
    age(folder(world))
    plan = prune(dev)
    assert plan.kept[RepoId("acme", "chat"), COMMITS[1]] == ("tags/v1",)
    prune(dev)
    assert revisions(dev) == {1, 3, 4, 5}
    assert [record.commit for record in world.records("dev")] == COMMITS[:0:-1]


def test_what_is_young_stays_with_all_that_it_names(world: World, dev: Store) -> None:
    prune(dev)
    world.revision("dev", 1)
    age(folder(world), -8 * DAY)
    age(folder(world))
    key = dev.backend.local_path(layout.revision(REPO, COMMITS[1]))
    assert key
    key.touch()
    prune(dev)
    assert revisions(dev) == {1, 3, 4, 5} and sound(dev)


def test_a_young_blob_that_nothing_names_yet_stays(world: World, dev: Store) -> None:
    for number in (6, 7):
        blob = manifest(number).by_path["model.safetensors"].descriptor
        dev.upload(blob, BytesContent(content(number)["model.safetensors"]))
        if number == 6:
            age(folder(world))
    for _ in range(2):
        prune(dev)
    here = [dev.has(manifest(n).by_path["model.safetensors"].descriptor) for n in (6, 7)]
    assert here == [False, True]


def test_a_noted_blob_that_a_revision_names_again_stays_until_that_goes(
    world: World, dev: Store
) -> None:
    """Else a revision would be there without its blob between two runs."""
    data = content(6)["model.safetensors"]
    dev.upload(manifest(6).by_path["model.safetensors"].descriptor, BytesContent(data))
    age(folder(world))
    prune(dev)
    world.revision("dev", 6)
    age(folder(world))
    noted = prune(dev)
    assert sound(dev) and dev.revision(REPO, manifest(6).commit)
    assert layout.blob(digests.of(data)) in {one.stat.key for one in noted.noted}
    prune(dev)
    assert sound(dev) and dev.revision(REPO, manifest(6).commit) is None


def test_a_revision_of_two_repos_goes_from_one(world: World, dev: Store) -> None:
    world.pin("dev", world.revision("dev", 1, OTHER).commit, "embed", OTHER)
    age(folder(world))
    for _ in range(2):
        prune(dev)
    assert (revisions(dev), dev.revisions(OTHER)) == ({3, 4, 5}, [COMMITS[1]]) and sound(dev)


def test_unfinished_writes_go_unless_somebody_writes_on(world: World, dev: Store) -> None:
    left, open_ = (folder(world) / f"uploads/{digit * 64}-x" for digit in "ab")
    left.write_bytes(b"left")
    open_.write_bytes(b"open")
    age(folder(world))
    prune(dev)
    with open_.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        prune(dev)
    assert (left.exists(), open_.exists()) == (False, True)


def test_a_damaged_store_is_not_pruned(world: World, dev: Store) -> None:
    prune(dev)
    before = bytes_below(folder(world), but=["leases"])
    for key in (
        layout.revision(REPO, COMMITS[5]),
        layout.blob(manifest(4).descriptor.digest),
        layout.ref(REPO, Ref.pin("dev", "chat")),
        layout.CANDIDATES,
    ):
        path = folder(world) / key
        data = path.read_bytes()
        path.write_bytes(b"junk")
        with pytest.raises(WaybillError, match=r"damaged|corrupt|not a model manifest"):
            prune(Store(dev.backend))
        path.write_bytes(data)
    (folder(world) / layout.revision(REPO, COMMITS[5])).rename(folder(world) / "away")
    with pytest.raises(RevisionNotFound):
        prune(dev)
    (folder(world) / "away").rename(folder(world) / layout.revision(REPO, COMMITS[5]))
    assert bytes_below(folder(world), but=["leases"]) == before


def test_what_strangers_left_in_a_store_is_passed_over(
    world: World, dev: Store, tmp_path: Path
) -> None:
    copy = connect((tmp_path / "copy").as_uri())
    copy.init()
    mirror.carry_out(mirror.plan(dev, copy))
    alias, said = layout.alias(REPO, upstream(5)), dev.said(REPO, COMMITS[5])[0].key
    for key in (alias, said, layout.revision(REPO, COMMITS[5]), layout.ref(REPO, PIN)):
        (folder(world) / key).with_name(".DS_Store").write_bytes(b"a folder was looked at")
    for place in ("models/._acme/chat", "models/acme/chat ", "datasets/acme/chat"):
        for key in ("revisions/" + COMMITS[5], "aliases/" + COMMITS[4]):
            path = folder(world) / "repos" / place / key
            path.parent.mkdir(parents=True)
            path.write_bytes(b"of another")
    assert sound(dev) and len(dev.aliases(REPO)) == 5 == len(revisions(dev))
    assert mirror.plan(dev, copy).missing == ()
    assert mirror.carry_out(mirror.plan(dev, copy)).wrong == {}
    world.promote("dev", "test")
    prune(dev)
    assert {one.revision for one in prune(dev).doomed if one.revision} == {
        (RepoId("acme", "chat"), COMMITS[number]) for number in (1, 2)
    }


def test_a_damaged_revision_that_nobody_needs_goes(world: World, dev: Store) -> None:
    (folder(world) / layout.blob(manifest(1).descriptor.digest)).write_bytes(b"junk")
    age(folder(world))
    for _ in range(2):
        prune(dev)
    assert revisions(dev) == {3, 4, 5} and sound(dev)


def test_a_rollback_to_what_was_pruned_says_so(world: World, dev: Store) -> None:
    for _ in range(2):
        prune(dev)
    with pytest.raises(RevisionPruned, match="it was pruned, or never came there"):
        world.rollback("dev", COMMITS[1])
    world.rollback("dev")
    assert world.stable("dev") == COMMITS[4]


def test_a_pruned_store_is_copied_with_its_whole_history(dev: Store, tmp_path: Path) -> None:
    for _ in range(2):
        prune(dev)
    target = connect((tmp_path / "copy").as_uri())
    target.init()
    done = mirror.carry_out(mirror.plan(dev, target))
    assert (done.revisions, done.moved, done.wrong) == (3, 1, {}) and sound(target)
    assert len(list(target.history(REPO, Ref.pin("dev", "chat")))) == 5


def test_what_is_pruned_while_somebody_reads_is_not_wrong(dev: Store, tmp_path: Path) -> None:
    target = connect((tmp_path / "copy").as_uri())
    target.init()
    prune(dev)
    found, mirroring = inventory(dev), mirror.plan(dev, target)
    prune(dev)
    assert audit(dev, found).wrong == {}
    done = mirror.carry_out(mirroring)
    assert (done.revisions, done.moved, done.wrong) == (3, 1, {}) and sound(target)
    lost = dev.backend.local_path(layout.blob(digests.of(content(4)["model.safetensors"])))
    assert lost
    lost.unlink()
    assert len(audit(dev, found).wrong) == 1, "what is lost by itself is still told"


# The command.


def test_without_delete_nothing_is_written(world: World, dev: Store, run: Run) -> None:
    before = bytes_below(folder(world))
    told = run("prune", "dev")
    assert told == run("prune", "dev", "--dry-run")
    assert f"would note acme/chat at {COMMITS[1]}" in told and "kept 3 revisions" in told
    assert bytes_below(folder(world)) == before
    assert last_prune(dev) == ""


def test_it_says_what_it_deletes_why_and_what_it_frees(world: World, dev: Store, run: Run) -> None:
    noted = run.json("prune", "dev", "--delete")["noted"]
    assert {one["commit"] for one in noted["revisions"]} == set(COMMITS[1:3])
    assert sum(one["bytes"] for one in noted["revisions"]) == noted["bytes"] > 6000
    before = sum(path.stat().st_size for path in folder(world).rglob("*") if path.is_file())
    told = run.json("prune", "dev", "--delete")
    after = sum(path.stat().st_size for path in folder(world).rglob("*") if path.is_file())
    lost = len(json.dumps(noted["keys"]))
    assert told["deleted"]["keys"] == noted["keys"]
    assert abs(before - after - told["deleted"]["bytes"]) < 2 * lost, (
        "the list of keys is empty now"
    )
    assert [one["why"] for one in told["kept"]] and last_prune(dev)
    assert f"kept acme/chat at {COMMITS[5]}: pins/dev.chat.stable" in run(
        "prune", "dev", "--verbose"
    )


@pytest.mark.parametrize(
    "flag", ["--keep=1", "--keep=x", "--older-than=0h", "--older-than=7", "--older-than=30m"]
)
def test_what_would_not_be_safe_is_refused(flag: str, run: Run) -> None:
    with pytest.raises(SystemExit) as caught:
        run("prune", "dev", flag)
    assert caught.value.code == 2


def test_an_older_age_keeps_more(dev: Store, run: Run) -> None:
    assert run.json("prune", "dev", "--older-than", "9d")["noted"]["keys"] == []
    assert run.json("prune", "dev", "--older-than", "36h", "--keep", "2")["noted"]["keys"]
    assert sweep(dev).doomed == ()
