"""pin: an exact commit that the store holds, the ref first, then the file."""

from pathlib import Path

import pytest

from tests.unit.release.world import OTHER, REPO, World, upstream
from waybill import digest as digests
from waybill.deliver import pins
from waybill.errors import (
    BadValue,
    BlobMissing,
    Corrupt,
    NoConditionalWrites,
    NotACommit,
    NotAStore,
    OtherRepo,
    RefMoved,
    RepoNotFound,
    RevisionNotFound,
)
from waybill.manifest import canonical
from waybill.release import move, pin
from waybill.release.move import Reason
from waybill.store import layout
from waybill.store.layout import Ref, RepoId


def test_pin_moves_the_ref_and_writes_the_file(world: World) -> None:
    manifest = world.revision("dev", 1)
    world.pin("dev", manifest.commit)
    assert world.ref("dev") == world.stable("dev") == manifest.commit
    held = world.pins("dev").models["chat"].stable
    assert (held.repo, held.digest) == ("Acme/Chat", manifest.descriptor.digest)
    assert held.size == manifest.size


def test_pin_names_the_provenance_among_all_statements(world: World) -> None:
    manifest = world.revision("dev", 1)
    world.pin("dev", manifest.commit)
    digest = digests.parse(world.pins("dev").models["chat"].stable.provenance)
    assert b"slsa.dev/provenance" in world.store("dev").read(digest)


def test_revision_without_provenance_says_so_by_being_empty(world: World) -> None:
    store = world.store("dev")
    manifest = world.revision("dev", 1)
    for stat in list(store.backend.list(layout.referrers(REPO, manifest.commit))):
        path = store.backend.local_path(stat.key)
        assert path
        path.unlink()
    world.pin("dev", manifest.commit)
    assert world.pins("dev").models["chat"].stable.provenance == ""


def test_upstream_commit_pins_ours(world: World) -> None:
    manifest = world.revision("dev", 1)
    world.pin("dev", upstream(1))
    assert world.stable("dev") == manifest.commit


def test_second_pin_keeps_the_first_as_previous(model: World) -> None:
    held = model.pins("dev").models["chat"]
    assert held.previous
    assert held.previous.commit == model.stable("test")


def test_pin_again_changes_nothing(model: World) -> None:
    text, records = model["dev"].pins_path.read_text(), model.records("dev")
    commit = model.stable("dev")
    assert commit
    assert not pin.plan(model["dev"], "chat", REPO, commit).changes
    model.pin("dev", commit)
    assert (model["dev"].pins_path.read_text(), model.records("dev")) == (text, records)


@pytest.mark.parametrize("name", ["main", "v1.0", "refs/heads/main"])
def test_branch_or_tag_is_refused_with_its_commit(world: World, name: str) -> None:
    commit = world.revision("dev", 1).commit
    for ref in (Ref("heads", "main"), Ref("tags", "v1.0")):
        world.store("dev").move(REPO, ref, commit, expected=None, by="a", why="b")
    with pytest.raises(NotACommit) as caught:
        world.pin("dev", name)
    assert (
        str(caught.value) == f"an exact commit of 40 hex digits is needed, and '{name}' is not one"
    )
    expected = f"{name} is {commit} now; give that if it is what you mean"
    assert caught.value.advice == expected
    assert world.stable("dev") is None


def test_short_commit_is_refused_with_the_whole_one(world: World) -> None:
    commit = world.revision("dev", 1).commit
    with pytest.raises(NotACommit) as caught:
        world.pin("dev", commit[:10].upper())
    assert commit in caught.value.advice


def test_unknown_branch_commit_and_repo_are_not_found(world: World) -> None:
    with pytest.raises(RepoNotFound, match="there is no repo Acme/Chat in file://"):
        world.pin("dev", "a" * 40)
    world.revision("dev", 1)
    for name in ("a" * 40, "no-such-branch"):
        with pytest.raises(RevisionNotFound, match=f"Acme/Chat has no revision '{name}' in"):
            world.pin("dev", name)


def blob_file(world: World, name: str, number: int) -> Path:
    manifest = world.revision(name, number)
    store = world.store(name)
    path = store.backend.local_path(layout.blob(manifest.by_path["model.safetensors"].digest))
    assert path
    return path


def test_missing_blob_is_refused(world: World) -> None:
    blob_file(world, "dev", 1).unlink()
    commit = world.store("dev").revisions(REPO)[0]
    with pytest.raises(BlobMissing, match=f"lacks sha256:.* which Acme/Chat@{commit} needs"):
        world.pin("dev", commit)
    assert world.ref("dev") is None


def test_blob_of_another_size_is_corrupt(world: World) -> None:
    blob_file(world, "dev", 1).write_bytes(b"short")
    with pytest.raises(Corrupt, match="expected 3000 bytes, found 5 bytes"):
        world.pin("dev", world.store("dev").revisions(REPO)[0])


def test_revision_that_names_another_manifest_is_corrupt(world: World) -> None:
    one, two = (world.revision("dev", number) for number in (1, 2))
    path = world.store("dev").backend.local_path(layout.revision(REPO, one.commit))
    assert path
    path.write_bytes(canonical(two.descriptor.as_json()))
    with pytest.raises(Corrupt, match=f"the revision {one.commit} of Acme/Chat"):
        world.pin("dev", one.commit)


@pytest.mark.parametrize("name", ["Chat", "a_b", "-a", "a-", "a" * 25, "", "a\n"])
def test_model_name_that_kubernetes_could_not_take_is_refused(world: World, name: str) -> None:
    with pytest.raises(BadValue, match="it must be at most 24 lower-case letters, digits"):
        world.pin("dev", "a" * 40, model=name)


def test_model_keeps_its_repo(model: World) -> None:
    commit = model.revision("dev", 9, OTHER).commit
    with pytest.raises(OtherRepo) as caught:
        model.pin("dev", commit, repo=OTHER)
    assert str(caught.value) == "chat in dev is pinned to the repo Acme/Chat, not acme/embed"
    assert "servedNames" in caught.value.advice
    assert model.ref("dev", repo=OTHER) is None


def test_repo_in_other_letters_is_the_same_repo(model: World) -> None:
    model.pin("dev", model.revision("dev", 3).commit, repo=RepoId("ACME", "chat"))
    assert model.stable("dev") == model.ref("dev")


def test_directory_that_is_no_store_is_told(world: World) -> None:
    commit = world.revision("dev", 1).commit
    (world.project / "stores/dev/store.json").unlink()
    with pytest.raises(NotAStore, match="stores/dev is not a Waybill store"):
        world.pin("dev", commit)


def test_store_without_conditional_writes_needs_a_single_writer(world: World) -> None:
    commit = world.revision("dev", 1).commit
    facts = world.project / "stores/dev/store.json"
    facts.write_text(facts.read_text().replace("true", "false"))
    with pytest.raises(NoConditionalWrites) as caught:
        world.pin("dev", commit)
    assert "--single-writer" in caught.value.advice
    step = pin.plan(world["dev"], "chat", REPO, commit, single_writer=True)
    move.carry_out([step], Reason("me", "alone"))
    assert world.stable("dev") == commit


def test_plan_alone_writes_nothing(world: World) -> None:
    commit = world.revision("dev", 1).commit
    assert pin.plan(world["dev"], "chat", REPO, commit).changes
    assert world.ref("dev") is None
    assert not world["dev"].pins_path.exists()


def test_ref_that_moved_since_is_not_overwritten(model: World) -> None:
    three, four = (model.revision("dev", number).commit for number in (3, 4))
    step = pin.plan(model["dev"], "chat", REPO, four)
    model.pin("dev", three)
    with pytest.raises(RefMoved, match=r"pins/dev.chat.stable of Acme/Chat was moved by somebody"):
        move.carry_out([step], Reason("late", "too late"))
    assert model.stable("dev") == model.ref("dev") == three


def test_file_is_not_written_when_the_ref_moved_on_before_it(
    model: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow writer: its ref moved, another moved on and wrote its pins, then it gets the lock."""
    three, four = (model.revision("dev", number).commit for number in (3, 4))
    update = pins.update

    def slow(path: Path, change: object) -> bool:
        monkeypatch.setattr(pins, "update", update)
        model.pin("dev", four)
        return update(path, change)  # type: ignore[arg-type]

    monkeypatch.setattr(pins, "update", slow)
    with pytest.raises(RefMoved):
        model.pin("dev", three)
    assert model.stable("dev") == model.ref("dev") == four
