"""status and history: what is shown, and what is marked."""

import shutil

import pytest

from tests.unit.release.world import OTHER, REPO, World
from waybill import digest as digests
from waybill.errors import BadFile, BlobMissing, NotAStore, UnknownEnvironment, UnknownModel
from waybill.release import move, rollback
from waybill.release.history import history
from waybill.release.move import Reason
from waybill.release.status import Place, status
from waybill.store import layout
from waybill.store.layout import Ref


def seen(world: World) -> dict[str, Place]:
    return {place.environment: place for place in status(world.environments)}


def test_each_environment_shows_its_own_commit(model: World) -> None:
    places = seen(model)
    assert list(places) == ["dev", "test", "prod"]
    assert places["dev"].models["chat"].pinned == model.stable("dev")
    assert places["test"].models["chat"].pinned == model.stable("test")
    assert "chat" not in places["prod"].models
    head = places["dev"].models["chat"].head
    assert head
    assert (head.record.by, head.commit) == ("a test", model.stable("dev"))


def test_who_is_behind(model: World) -> None:
    assert seen(model)["test"].models["chat"].behind == "dev"
    model.promote("dev", "test")
    assert seen(model)["test"].models["chat"].behind is None


def test_model_of_a_later_environment_alone_is_not_behind(model: World) -> None:
    model.pin("prod", model.revision("prod", 5, OTHER).commit, "embed", OTHER)
    place = seen(model)["prod"]
    assert place.models["embed"].behind is None
    assert list(seen(model)["dev"].models) == ["chat"]


def test_what_was_held_back_from_a_commit_is_not_ahead_of_it(model: World) -> None:
    """dev goes back from the revision that test runs: test is not to follow the rest of the way."""
    model.promote("dev", "test")
    bad = model.stable("dev")
    step = rollback.plan(model["dev"], "chat")
    move.carry_out([step], reason=Reason("ops", "it was bad", hold=True))
    assert model.stable("dev") != bad == model.stable("test")
    assert seen(model)["test"].models["chat"].behind is None
    model.pin("test", model.revision("test", 7).commit)
    assert seen(model)["test"].models["chat"].behind == "dev"


def test_a_hold_and_its_end_make_nothing_younger(model: World) -> None:
    before = seen(model)["test"].models["chat"].standing
    store, ref = model.store("test"), Ref.pin("test", "chat")
    for held in (True, False):
        head = store.head(REPO, ref)
        assert head
        store.move(REPO, ref, head.commit, expected=head, by="ops", why="x", hold=held)
    after = seen(model)["test"].models["chat"].standing
    assert before and after
    assert (after.first, after.head != before.head) == (before.first, True)


def test_file_and_ref_that_differ_are_marked(model: World) -> None:
    old = model["dev"].pins_path.read_text()
    model.pin("dev", model.revision("dev", 3).commit)
    assert not seen(model)["dev"].differs("chat")
    model["dev"].pins_path.write_text(old)
    assert seen(model)["dev"].differs("chat")


def test_ref_without_a_pin_is_marked(model: World) -> None:
    model["test"].pins_path.unlink()
    place = seen(model)["test"]
    assert place.models["chat"].pinned is None
    assert place.differs("chat")


def test_store_that_is_gone_is_told_in_its_place(model: World) -> None:
    shutil.rmtree(model.project / "stores/test")
    place = seen(model)["test"]
    assert isinstance(place.error, NotAStore)
    assert place.models["chat"].pinned == model.stable("test")
    assert not place.differs("chat")
    assert seen(model)["dev"].error is None


def test_wrong_pins_file_is_refused(model: World) -> None:
    model["test"].pins_path.write_text("global: 1")
    with pytest.raises(BadFile, match=r"test.yaml cannot be used: global: 1 is not a map"):
        status(model.environments)


def test_history_of_all_environments_newest_first(model: World) -> None:
    model.promote("dev", "test")
    found = history(model.environments, "chat").records
    assert list(found) == ["dev", "test"]
    assert [r.commit for r in found["dev"]] == [r.commit for r in found["test"]]
    assert found["dev"][0].commit == model.stable("dev")
    assert found["dev"][0].previous
    assert found["dev"][-1].previous is None


def test_history_of_one_environment(model: World) -> None:
    assert list(history(model.environments, "chat", "test").records) == ["test"]


def test_history_tells_a_store_that_is_gone_and_shows_the_others(model: World) -> None:
    (model.project / "stores/test/store.json").unlink()
    found = history(model.environments, "chat")
    assert list(found.records) == ["dev"]
    assert list(found.errors) == ["test"]
    assert "is not a Waybill store" in found.errors["test"]
    with pytest.raises(NotAStore):
        history(model.environments, "chat", "test")


def test_history_of_what_is_unknown(model: World) -> None:
    with pytest.raises(UnknownModel, match="no model 'chat' is pinned in prod"):
        history(model.environments, "chat", "prod")
    with pytest.raises(UnknownModel, match="no model 'embed' is pinned in dev"):
        history(model.environments, "embed")
    with pytest.raises(UnknownEnvironment):
        history(model.environments, "chat", "stage")


def test_broken_chain_is_told(model: World) -> None:
    store = model.store("dev")
    head = store.head(REPO, Ref.pin("dev", "chat"))
    assert head
    path = store.backend.local_path(layout.blob(digests.parse(str(head.record.previous))))
    assert path
    path.unlink()
    with pytest.raises(BlobMissing, match="lacks sha256:"):
        history(model.environments, "chat")
