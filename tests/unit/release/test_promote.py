"""promote: only what is missing, checked there, the ref by compare-and-swap, the file last."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.release.world import OTHER, REPO, World, carry_out, upstream
from waybill.deliver import pins
from waybill.deliver.pins import Pins
from waybill.digest import Digest
from waybill.errors import (
    BadFile,
    BlobMissing,
    Corrupt,
    NothingPinned,
    OtherRepo,
    PinsDiffer,
    RefMoved,
    UnknownEnvironment,
    UnknownModel,
    WrongStep,
)
from waybill.store import layout
from waybill.store.layout import Ref


def test_target_gets_the_same_pin_as_the_source(model: World) -> None:
    model.promote("dev", "test")
    commit = model.stable("dev")
    assert model.stable("test") == model.ref("test") == commit
    source, target = (model.pins(name).models["chat"].stable for name in ("dev", "test"))
    assert source == target


def test_all_the_way_to_production_without_a_change(model: World) -> None:
    model.promote("dev", "test")
    model.promote("test", "prod")
    manifests = [
        model.store(name).manifest(REPO, str(model.stable("dev"))) for name in model.environments
    ]
    assert len({manifest.descriptor.digest for manifest in manifests}) == 1
    for name, manifest in zip(model.environments, manifests, strict=True):
        for blob in manifest.blobs.values():
            model.store(name).verify(blob)


def test_statements_and_alias_come_along(model: World) -> None:
    model.promote("dev", "test")
    commit = str(model.stable("dev"))
    dev, test = model.store("dev"), model.store("test")
    assert dev.referrers(REPO, commit) == test.referrers(REPO, commit)
    assert len(test.referrers(REPO, commit)) == 2
    assert test.alias(REPO, upstream(2)) == commit


def test_only_what_is_missing_is_copied(model: World) -> None:
    plan = model.plan("dev", "test")
    shared = plan.steps[0].source.manifest(REPO, str(model.stable("dev"))).by_path["README.md"]
    assert shared.digest not in {blob.digest for blob in plan.steps[0].missing}
    copied = carry_out(plan, by="a", why="b")
    assert [(c.blobs, c.skipped) for c in copied] == [(2, 1)]
    assert copied[0].bytes == plan.bytes


def test_second_promotion_has_nothing_to_do(model: World) -> None:
    model.promote("dev", "test")
    text, records = model["test"].pins_path.read_text(), model.records("test")
    plan = model.plan("dev", "test")
    assert (plan.bytes, plan.steps[0].move.changes) == (0, False)
    model.promote("dev", "test")
    assert (model["test"].pins_path.read_text(), model.records("test")) == (text, records)


def test_plan_alone_writes_nothing(model: World) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.project.rglob("*") if path.is_file()}
    plan = model.plan("dev", "test")
    assert plan.bytes > 3000
    after = {path: path.stat().st_mtime_ns for path in model.project.rglob("*") if path.is_file()}
    assert after == before


def test_all_models_are_promoted_unless_some_are_named(model: World) -> None:
    model.pin("dev", model.revision("dev", 5, OTHER).commit, "embed", OTHER)
    model.pin("dev", str(model.stable("dev")), "draft")
    model.promote("dev", "test", "embed")
    assert set(model.pins("test").models) == {"chat", "embed"}
    assert model.stable("test") != model.stable("dev")
    model.promote("dev", "test")
    assert set(model.pins("test").models) == {"chat", "embed", "draft"}


def test_blob_of_two_models_is_counted_once(model: World) -> None:
    model.pin("dev", str(model.stable("dev")), "draft")
    plan = model.plan("dev", "test")
    assert plan.bytes == plan.steps[0].bytes == plan.steps[1].bytes


def test_pinning_twice_in_the_source_needs_no_promotion_in_between(model: World) -> None:
    model.pin("dev", model.revision("dev", 3).commit)
    model.promote("dev", "test")
    assert model.stable("test") == model.stable("dev")


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("dev", "prod", "dev is not promoted to prod: dev is followed by test"),
        ("test", "dev", "test is not promoted to dev: test is followed by prod"),
        ("dev", "dev", "dev is not promoted to dev: dev is followed by test"),
        ("prod", "dev", "prod is not promoted to dev: prod is the last"),
    ],
)
def test_promotion_goes_one_step_at_a_time(
    model: World, source: str, target: str, why: str
) -> None:
    with pytest.raises(WrongStep) as caught:
        model.promote(source, target)
    assert str(caught.value) == why
    assert caught.value.advice.endswith("in the order of environments.yaml: dev → test → prod")


def test_unknown_environment_and_model_are_told(model: World) -> None:
    with pytest.raises(UnknownEnvironment):
        model.promote("dev", "stage")
    with pytest.raises(UnknownModel) as caught:
        model.promote("dev", "test", "chat", "embed")
    assert str(caught.value) == "no model 'embed' is pinned in dev"
    assert caught.value.advice == (
        "bring it there: waybill promote, or waybill pin dev embed REPO@COMMIT"
    )


def test_source_without_pins_is_said(world: World) -> None:
    with pytest.raises(NothingPinned, match="nothing is pinned in dev"):
        world.promote("dev", "test")
    assert not world["test"].pins_path.exists()


def test_pins_file_that_was_lost_is_no_empty_environment(model: World) -> None:
    model["dev"].pins_path.unlink()
    with pytest.raises(PinsDiffer, match="but the store's ref stands at"):
        model.promote("dev", "test")


def test_source_whose_ref_is_elsewhere_is_refused(model: World) -> None:
    one, two = model.stable("test"), model.stable("dev")
    store = model.store("dev")
    ref = Ref.pin("dev", "chat")
    store.move(REPO, ref, str(one), expected=store.head(REPO, ref), by="a", why="b")
    with pytest.raises(PinsDiffer) as caught:
        model.promote("dev", "test")
    path = model["dev"].pins_path
    assert str(caught.value) == f"{path} pins chat at {two}, but the store's ref stands at {one}"
    assert "waybill pin dev chat Acme/Chat@COMMIT" in caught.value.advice
    model.pin("dev", str(one))
    model.promote("dev", "test")


def test_source_without_a_ref_is_refused(model: World) -> None:
    path = model.store("dev").backend.local_path(layout.ref(REPO, Ref.pin("dev", "chat")))
    assert path
    path.unlink()
    with pytest.raises(PinsDiffer, match="but the store's ref stands at nothing"):
        model.promote("dev", "test")


def test_target_whose_file_is_an_old_version_is_refused(model: World) -> None:
    old = model["test"].pins_path.read_text()
    model.pin("test", model.revision("test", 7).commit)
    model["test"].pins_path.write_text(old)
    with pytest.raises(PinsDiffer, match=r"pins/test.yaml pins chat at"):
        model.promote("dev", "test")


def test_target_with_another_repo_under_this_name_is_refused(model: World) -> None:
    model.pin("prod", model.revision("prod", 5, OTHER).commit, "chat", OTHER)
    with pytest.raises(OtherRepo, match="chat in prod is pinned to the repo acme/embed"):
        model.promote("test", "prod")


def test_wrong_pins_file_of_the_target_is_told_before_any_copy(model: World) -> None:
    model["test"].pins_path.write_text("global: [")
    count = len(list(model.store("test").backend.list("blobs/")))
    with pytest.raises(BadFile, match=r"test.yaml cannot be used: line 1: "):
        model.promote("dev", "test")
    assert len(list(model.store("test").backend.list("blobs/"))) == count


def damage(model: World, data: bytes | None) -> Digest:
    """Spoil the weights that dev's pin names; returns their digest."""
    store = model.store("dev")
    file = store.manifest(REPO, str(model.stable("dev"))).by_path["model.safetensors"]
    path = store.backend.local_path(layout.blob(file.digest))
    assert path
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    return file.digest


def test_corrupt_source_leaves_the_target_as_it_was(model: World) -> None:
    digest, one = damage(model, b"x" * 3000), model.stable("test")
    with pytest.raises(Corrupt) as caught:
        model.promote("dev", "test")
    assert f"{digest} in {model.store('dev').url} is corrupt" in str(caught.value)
    assert model.store("test").revisions(REPO) == [one]
    assert model.stable("test") == model.ref("test") == one
    assert not model.store("test").backend.stat(layout.blob(digest))


@pytest.mark.parametrize("data", [None, b"short"])
def test_incomplete_source_is_told_before_any_copy(model: World, data: bytes | None) -> None:
    damage(model, data)
    count = len(list(model.store("test").backend.list("blobs/")))
    with pytest.raises((BlobMissing, Corrupt), match="stores/dev"):
        model.plan("dev", "test")
    assert len(list(model.store("test").backend.list("blobs/"))) == count


def test_blob_lost_in_the_target_is_sent_again(model: World) -> None:
    model.promote("dev", "test")
    store = model.store("test")
    file = store.manifest(REPO, str(model.stable("dev"))).by_path["model.safetensors"]
    path = store.backend.local_path(layout.blob(file.digest))
    assert path
    path.unlink()
    model.promote("dev", "test")
    store.verify(file.descriptor)


def test_pin_that_means_other_content_is_corrupt(model: World) -> None:
    path = model["dev"].pins_path
    digest = model.pins("dev").models["chat"].stable.digest
    path.write_text(
        path.read_text().replace(digest, digest[:-1] + ("0" if digest[-1] != "0" else "1"))
    )
    with pytest.raises(Corrupt, match=f"expected {digest[:-1]}"):
        model.promote("dev", "test")


def test_alias_that_means_another_packing_in_the_target_is_told(model: World) -> None:
    model.store("test").add_alias(REPO, upstream(2), str(model.stable("test")))
    copied = carry_out(model.plan("dev", "test"), by="a", why="b")
    assert copied[0].unaliased == (upstream(2),)


def test_one_store_for_all_environments_copies_nothing(model: World) -> None:
    file = model.project / "values/environments.yaml"
    file.write_text(file.read_text().replace("stores/test", "stores/dev"))
    model = World(model.project)
    model["test"].pins_path.unlink()
    assert model.plan("dev", "test").bytes == 0
    model.promote("dev", "test")
    assert model.stable("test") == model.ref("test") == model.stable("dev")


def test_loser_of_a_race_copies_but_does_not_pin(model: World) -> None:
    late = model.plan("dev", "test")
    seven = model.revision("test", 7).commit
    model.pin("test", seven)
    with pytest.raises(RefMoved) as caught:
        carry_out(late, by="late", why="too late")
    assert "waybill history" in caught.value.advice
    assert model.stable("test") == model.ref("test") == seven
    assert model.store("test").has(late.steps[0].missing[0])


def test_models_that_were_won_are_pinned_though_another_was_lost(model: World) -> None:
    model.pin("dev", model.revision("dev", 5, OTHER).commit, "embed", OTHER)
    late = model.plan("dev", "test")
    assert [step.move.model for step in late.steps] == ["chat", "embed"]
    six = model.revision("test", 6, OTHER).commit
    model.pin("test", six, "embed", OTHER)
    with pytest.raises(RefMoved, match=r"pins/test.embed.stable of acme/embed"):
        carry_out(late, by="late", why="too late")
    assert model.stable("test") == model.ref("test") == model.stable("dev")
    assert model.stable("test", "embed") == six


def test_pins_of_several_models_are_written_in_one_rename(
    model: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.pin("dev", model.revision("dev", 5, OTHER).commit, "embed", OTHER)
    calls: list[Path] = []
    update = pins.update

    def counted(path: Path, change: Callable[[Pins], Pins]) -> bool:
        calls.append(path)
        return update(path, change)

    monkeypatch.setattr(pins, "update", counted)
    model.promote("dev", "test")
    assert calls == [model["test"].pins_path]


def test_progress_adds_up_to_what_was_planned(model: World) -> None:
    told: list[int] = []
    plan = model.plan("dev", "test")
    carry_out(plan, by="a", why="b", advance=told.append)
    assert sum(told) == plan.bytes
