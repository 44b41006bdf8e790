"""Following a revision on a cluster of our own making, behind our own interface."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.unit.clock import Time
from tests.unit.release import crash
from tests.unit.release.crash import Crash, Fuse
from tests.unit.release.side import Side
from tests.unit.release.world import REPO, World
from tests.unit.sign.making import signer
from waybill.deliver import install, watch
from waybill.deliver.changes import Change
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm
from waybill.deliver.install import Plan
from waybill.deliver.pins import Pins
from waybill.errors import (
    HelmFailed,
    NotInstalled,
    NotServed,
    PinsDiffer,
    RolloutOvertaken,
    StoreUnreachable,
    UnknownModel,
)
from waybill.release import evidence, follow, health, move, rollback
from waybill.release.follow import Follower
from waybill.release.move import Reason
from waybill.sign.predicates import HEALTH
from waybill.store.layout import Ref

STEPS = [{"weight": 10, "pause": "60s"}, {"weight": 50, "pause": "60s"}]


@dataclass
class Scene:
    side: Side
    follower: Follower
    weights: list[int]
    notes: list[str]

    def run(self, seconds: int = 60) -> follow.Outcome:
        return self.follower.run(seconds)


@pytest.fixture
def changes() -> list[Change]:
    """What the files say and the release does not."""
    return []


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch, changes: list[Change]) -> Scene:
    """A new revision that waits for its steps."""
    commits = [world.revision("dev", number).commit for number in (1, 2)]
    world.pin("dev", commits[0])
    values = {"global": {"models": {"chat": {"enabled": True, "steps": STEPS}}}}
    world["dev"].values_path.write_text(yaml.safe_dump(values))
    world.pin("dev", commits[1])
    clock, weights, notes = Time(), list[int](), list[str]()
    for module in (watch, follow):
        monkeypatch.setattr(module, "time", clock)

    def reroute(*_: object) -> None:
        """What the second one gets."""
        slots = world.pins("dev").models["chat"].traffic.values()
        weights.extend(slot.weight for slot in slots if slot.commit == commits[1])

    helm = Helm(Path("chart"), "w", "ns")
    monkeypatch.setattr(install, "plan", lambda helm: Plan(helm, 1, changes, 600))
    monkeypatch.setattr(install, "reroute", reroute)
    side = Side(world, clock, commits)
    follower = Follower(world["dev"], helm, cast(Any, side), "chat", notes.append)
    return Scene(side, follower, weights, notes)


def test_a_good_one_gets_all_the_traffic_step_by_step(scene: Scene) -> None:
    outcome = scene.run()
    assert scene.weights == [10, 50, 100]
    assert (outcome.why, outcome.back, outcome.seen.errors) == ("", None, 0)
    assert outcome.seen.requests == 60 * (10 + 50 + 100)
    assert scene.side.time.now == 180


def test_a_bad_one_gives_its_traffic_back_as_soon_as_that_is_known(scene: Scene) -> None:
    scene.side.failing = lambda now: 0.5 if now > 65 else 0.0
    outcome = scene.run()
    assert scene.weights == [10, 50, 0]
    assert outcome.back == scene.side.commits[0]
    assert outcome.why.startswith("with 50 % of the traffic, ")
    assert scene.side.time.now < 90


def test_an_error_that_ended_before_a_step_does_not_count_in_it(scene: Scene) -> None:
    scene.side.failing = lambda now: 0.04 if now < 60 else 0.049
    assert scene.run().why == ""


def test_who_was_stopped_goes_on_where_it_was(scene: Scene, world: World) -> None:
    scene.follower._weigh(50)
    scene.weights.clear()
    again = Follower(
        world["dev"], scene.follower.helm, scene.follower.cluster, "chat", scene.notes.append
    )
    assert again.run(60).why == ""
    assert scene.weights == [100]


def test_one_that_answers_wrongly_gets_no_traffic_at_all(scene: Scene, world: World) -> None:
    wrong = replace(scene.follower, evaluate=lambda: "it answers wrongly: greeting")
    outcome = wrong.run(60)
    assert scene.weights == [0]
    assert (outcome.why, outcome.back) == ("it answers wrongly: greeting", scene.side.commits[0])
    assert world.pins("dev").models["chat"].serving.commit == outcome.back


def test_with_nobody_to_give_it_back_to_a_bad_one_stays(scene: Scene) -> None:
    scene.side.failing, scene.side.there = (lambda _: 1.0), 1
    outcome = scene.run()
    assert outcome.why and outcome.back is None
    assert outcome.keeps == f"no engine of chat@{scene.side.commits[0][:8]} is ready"
    assert scene.weights == [10]


def test_a_gateway_that_is_silent_for_a_while_is_waited_for(scene: Scene) -> None:
    scene.side.silent = lambda now: {"w-gateway"} if now % 60 < 10 else set()
    assert scene.run().why == ""


def test_no_traffic_moves_before_the_files_are_installed(
    scene: Scene, changes: list[Change]
) -> None:
    changes.append(Change("change", "ConfigMap", "w-gateway", ()))
    with pytest.raises(NotInstalled, match=r"1 would change \(ConfigMap w-gateway\)"):
        scene.run()
    assert scene.weights == []


def test_no_traffic_moves_to_an_engine_of_another_digest(scene: Scene) -> None:
    short = scene.side.commits[1][:8]
    scene.side.annotated[f"vllm-chat-{short}"] = "sha256:other"
    with pytest.raises(NotServed, match=f"the pod w-vllm-chat-{short} was made for sha256:other"):
        scene.run()
    assert scene.weights == []


def test_no_traffic_moves_to_what_a_hub_does_not_give(scene: Scene) -> None:
    scene.side.hub = ["Acme/Chat/another/one"]
    commit, digest = scene.side.commits[1], scene.side.digest
    said = f"the hub w-model-hub does not say that it gives Acme/Chat@{commit} as {digest}"
    with pytest.raises(NotServed, match=said):
        scene.run()
    assert scene.weights == []


@pytest.mark.parametrize("page", ["<html>busy</html>", "[]", '{"data": [{}]}'])
def test_an_engine_that_answers_something_else_is_told(scene: Scene, page: str) -> None:
    scene.side.models = page
    with pytest.raises(NotServed, match="which is no list of models"):
        scene.run()


def test_a_revision_that_another_has_replaced_meanwhile_is_left_alone(
    scene: Scene, world: World
) -> None:
    _ = scene.follower.pin
    third = world.revision("dev", 3).commit
    world.pin("dev", third)
    with pytest.raises(RolloutOvertaken, match=f"pinned to {third} meanwhile"):
        scene.follower._weigh(10)
    assert world.pins("dev").models["chat"].stable.commit == third


def test_a_model_without_a_pin_cannot_be_followed(scene: Scene) -> None:
    other = Follower(scene.follower.environment, scene.follower.helm, cast(Any, None), "x", print)
    with pytest.raises(UnknownModel):
        _ = other.pin


def test_what_went_back_is_recorded_with_its_reason(scene: Scene, world: World) -> None:
    scene.side.failing = lambda now: 1.0 if now > 65 else 0.0
    scene.follower = replace(scene.follower, by="ci", hold=True)
    outcome = scene.run()
    assert outcome.unrecorded == ""
    record = world.records("dev")[0]
    assert (record.commit, record.by, record.why, record.hold) == (
        scene.side.commits[0],
        "ci",
        outcome.why,
        True,
    )
    traffic = world.pins("dev").models["chat"].traffic
    assert {slot: (each.commit, each.weight) for slot, each in traffic.items()} == {
        "stable": (scene.side.commits[0], 100),
        "previous": (scene.side.commits[1], 0),
    }


def test_traffic_goes_back_where_nothing_can_be_recorded(
    scene: Scene, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever says rollback then writes the record."""

    def silent(*_: object, **__: object) -> Any:
        raise StoreUnreachable(url="s3://x", why="it is down")

    def fails() -> float:
        monkeypatch.setattr(Environment, "connect", silent)
        return 1.0

    scene.side.failing = lambda now: fails() if now > 65 else 0.0
    outcome = scene.run()
    monkeypatch.undo()
    assert scene.weights == [10, 50, 0]
    assert "it is down" in outcome.unrecorded
    step = rollback.plan(world["dev"], "chat")
    move.carry_out([step], reason=Reason("ops", "again"))
    assert world.records("dev")[0].commit == outcome.back == world.stable("dev")


def test_a_busy_release_is_asked_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    calm, tries = install.reroute, list[float]()

    def busy(*given: Any) -> None:
        tries.append(scene.side.time.now)
        if len(tries) % 3:
            raise HelmFailed(what="upgrade", why="another operation is in progress")
        calm(*given)

    monkeypatch.setattr(install, "reroute", busy)
    scene.side.failing = lambda now: 1.0 if now > 100 else 0.0
    assert scene.run().back == scene.side.commits[0]
    assert scene.weights == [10, 50, 0]


def test_a_promotion_from_another_checkout_is_left_alone(scene: Scene, world: World) -> None:
    """Its pins file is not ours: only the store says that it happened."""
    third = world.revision("dev", 3).commit
    store, ref = world.store("dev"), Ref.pin("dev", "chat")

    def promoted() -> float:
        head = store.head(REPO, ref)
        if head and head.commit != third:
            store.move(REPO, ref, third, expected=head, by="another", why="")
        return 1.0

    scene.side.failing = lambda now: promoted() if now > 65 else 0.0
    with pytest.raises(RolloutOvertaken, match=f"pinned to {third} meanwhile"):
        scene.run()
    assert scene.weights == [10, 50]
    assert world.records("dev")[0].commit == third


def test_a_checkout_that_is_behind_moves_nothing(scene: Scene, world: World) -> None:
    third = world.revision("dev", 3).commit
    store, ref = world.store("dev"), Ref.pin("dev", "chat")
    store.move(REPO, ref, third, expected=store.head(REPO, ref), by="another", why="")
    with pytest.raises(PinsDiffer, match=f"stands at {third}"):
        scene.run()
    assert scene.weights == []


def test_values_edited_meanwhile_are_not_installed_with_a_weight(
    scene: Scene, changes: list[Change]
) -> None:
    def edit() -> float:
        changes[:] = [Change("change", "Deployment", "w-hub", ())]
        return 0.0

    scene.side.failing = lambda now: edit() if now > 30 else 0.0
    with pytest.raises(NotInstalled):
        scene.run()
    assert scene.weights == [10]


def test_who_installs_at_the_moment_is_waited_for(scene: Scene, changes: list[Change]) -> None:
    """Another model of the release may get its traffic meanwhile."""

    def install(now: float) -> float:
        changes[:] = [Change("change", "ConfigMap", "w-gateway-routes", ())] * (now < 90)
        return 0.0

    scene.side.failing = lambda now: install(now) if now > 30 else 0.0
    sleep = scene.side.time.sleep

    def passing(seconds: float) -> None:
        sleep(seconds)
        scene.side.failing(scene.side.time.now)

    scene.side.time.sleep = passing  # type: ignore[method-assign] # time passes for others, too
    assert scene.run().why == ""
    assert scene.weights == [10, 50, 100]


def test_where_nobody_asks_that_is_said(scene: Scene) -> None:
    scene.side.asked = 0
    outcome = scene.run()
    assert (outcome.why, outcome.seen.requests) == ("", 0)
    assert sum("nobody has asked it" in line for line in scene.notes) == 3


@pytest.mark.parametrize("after", [0, 5])
def test_one_of_which_no_gateway_tells_for_a_minute_goes_back(
    scene: Scene, world: World, after: float
) -> None:
    """Nobody looks meanwhile, and its pause may be an hour."""
    scene.side.ready = lambda now: not scene.weights or now < after
    outcome = scene.run()
    assert (scene.weights, outcome.back) == ([10, 0], scene.side.commits[0])
    assert scene.side.time.now < 80
    why = "with 10 % of the traffic, nobody can tell how it does: "
    assert outcome.why.startswith(why) and "no gateway is ready" in outcome.why
    assert world.records("dev")[0].why == outcome.why


def test_a_gateway_that_takes_no_engine_for_healthy_is_one_that_lacks_it(scene: Scene) -> None:
    """Its requests are answered by the one before, and none of them fails."""
    scene.side.healthy = lambda now: 1 if now < 5 else 0
    outcome = scene.run()
    assert "has 0 of 1 engines" in outcome.why
    assert scene.weights == [10, 0]


def states(world: World) -> tuple[str, str, str]:
    """Pins, ref, and who has all the traffic by the pins."""
    pin = world.pins("dev").models["chat"]
    return pin.stable.commit, world.records("dev")[0].commit, pin.serving.commit


def test_crash_between_any_two_steps(scene: Scene, world: World) -> None:
    """The bad one gets none of the traffic again: there is a record, or a person has to look."""
    scene.side.failing = lambda now: 1.0 if now > 65 else 0.0
    old, new = scene.side.commits
    folder, seen = world.project, set()
    for whole in count():
        each = World(folder.with_name(f"crash-{whole}"))
        shutil.copytree(folder, each.project)
        side = replace(scene.side, world=each, time=scene.side.time)
        side.seen, side.at, side.time.now = {"requests": 0.0, "errors": 0.0}, 0.0, 0.0
        follower = replace(scene.follower, environment=each["dev"], cluster=cast(Any, side))
        fuse = Fuse(whole)
        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            crash.install(fuse, patch)
            patch.setattr(install, "reroute", partial(fuse.through, lambda *_: None))
            follower.run(60)
        stands = states(each)
        seen.add(stands)
        if not fuse.blown:
            assert stands == (old, old, old)
            break
        if stands == (old, new, old):
            with pytest.raises(PinsDiffer):
                replace(follower).run(60)
            move.carry_out([rollback.plan(each["dev"], "chat")], Reason("ops", ""))
        elif stands[0] == new:
            replace(follower).run(60)
        assert states(each) == (old, old, old)
        shutil.rmtree(each.project)
    # Before it goes back, its pins alone, and all of it.
    assert {(pins, ref) for pins, ref, _ in seen} == {(new, new), (old, new), (old, old)}
    assert whole > 8


def test_how_it_did_is_signed_and_kept(scene: Scene, world: World) -> None:
    outcome = scene.run()
    said = health.attest(scene.follower, outcome, signer())
    (found,) = [
        each
        for each in evidence.gather(world.store("dev"), REPO, outcome.commit, None)
        if each.predicate_type == HEALTH
    ]
    assert found.signed and found.predicate == said.as_json()
    assert (said.requests, said.replicas) == (outcome.seen.requests, 1)


def test_pins_know_who_serves(scene: Scene, world: World) -> None:
    pins: Pins = world.pins("dev")
    pin = pins.models["chat"]
    assert (pin.stable.commit, pin.serving.commit) == (
        scene.side.commits[1],
        scene.side.commits[0],
    )
    assert pins.weighed("chat", 60).models["chat"].serving == pin.stable
