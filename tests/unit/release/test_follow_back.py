"""To whom the traffic of a bad revision goes back, and when it stays where it is."""

from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self

import pytest

from tests.unit.release.test_follow import Scene, changes, scene
from tests.unit.release.world import World
from tests.unit.sign.making import signer
from waybill.deliver import install
from waybill.errors import ClusterUnreachable
from waybill.release import follow, health

__all__ = ["changes", "scene"]  # Fixtures.


def later(minutes: int) -> type[datetime]:
    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(minutes=minutes)

    return Later


def test_the_one_before_needs_no_more_than_one_engine(scene: Scene) -> None:
    """A node that is drained must not keep the traffic where it fails."""
    scene.side.failing, scene.side.wanted = (lambda _: 1.0), {scene.side.commits[0][:8]: 4}
    assert scene.run().back == scene.side.commits[0]
    assert scene.weights == [10, 0]


def test_the_one_before_is_waited_for(scene: Scene) -> None:
    old = scene.side.commits[0][:8]
    scene.side.failing = lambda _: 1.0
    scene.side.available = lambda commit, now: int(commit != old or now > 40)
    assert scene.run().back == scene.side.commits[0]
    assert 40 < scene.side.time.now < 60


def again(scene: Scene) -> follow.Outcome:
    """Another watch, of what the pins say by now; all requests fail."""
    scene.side.seen, scene.side.failing = {"requests": 0.0, "errors": 0.0}, lambda _: 1.0
    scene.side.commits.reverse()
    return replace(scene.follower).run(60)


@pytest.mark.parametrize("by_hand", [True, False])
def test_nothing_goes_to_the_one_that_was_bad(scene: Scene, world: World, by_hand: bool) -> None:
    old, bad = scene.side.commits
    scene.side.failing = lambda _: 0.0 if by_hand else 1.0
    assert bool(scene.run().why) is not by_hand
    if by_hand:
        world.rollback("dev")
    records, held = world.records("dev"), world.pins("dev")
    outcome = again(scene)
    assert (outcome.commit, outcome.back) == (old, None)
    assert "requests failed" in outcome.why
    assert outcome.keeps == f"{bad[:8]} beside it is no revision that it took over from"
    assert (world.records("dev"), world.pins("dev")) == (records, held)


@pytest.mark.parametrize("minutes", [10, 20])
def test_one_that_did_well_for_long_is_not_given_up_for_a_bad_hour(
    scene: Scene, world: World, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes to start, two of steps, one to look: after those it is no rollout any more."""
    assert scene.run().why == ""
    held, since = world.pins("dev"), world.records("dev")[0].at

    monkeypatch.setattr(follow, "datetime", later(minutes))
    scene.side.failing = lambda _: 1.0
    outcome = replace(scene.follower).run(60)
    assert "requests failed" in outcome.why
    if minutes == 10:
        assert outcome.back == scene.side.commits[0]
    else:
        assert (outcome.back, world.pins("dev")) == (None, held)
        assert outcome.keeps == f"it is no new one: it was pinned at {since}"
    assert health.attest(scene.follower, outcome, signer()).why == outcome.why


@pytest.mark.parametrize("minutes", [0, 60])
def test_who_does_not_answer_is_not_signed_as_well(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """No request fails that the gateway gives to nobody, and the revision may keep its traffic."""
    scene.run()
    monkeypatch.setattr(follow, "datetime", later(minutes))
    begin = scene.side.time.now
    scene.side.healthy = lambda now: 0 if now > begin + 100 else 1
    outcome = replace(scene.follower).run(600)
    said = health.attest(scene.follower, outcome, signer())
    assert (said.errors, "has 0 of 1 engines" in said.why) == (0, True)
    assert (outcome.back is None) == (minutes == 60)


def test_what_is_known_of_it_stays_where_the_cluster_does_not_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its better hours would count for the next environment."""
    told = list[follow.Outcome]()
    bad, calm = [False], install.reroute

    def reroute(*given: Any) -> None:
        if bad[0]:
            raise ClusterUnreachable(where="w", why="connection refused")
        calm(*given)

    def failing(now: float) -> float:
        bad[0] = now > 65
        return float(bad[0])

    monkeypatch.setattr(install, "reroute", reroute)
    scene.side.failing = failing
    follower = replace(scene.follower, said=told.append)
    with pytest.raises(ClusterUnreachable):
        follower.run(60)
    (outcome,) = told
    assert outcome.why.startswith("with 50 % of the traffic, ")
    assert (outcome.back, "connection refused" in outcome.stuck) == (None, True)
    assert health.attest(follower, outcome, signer()).why == outcome.why


def test_an_old_one_that_comes_by_steps_again_goes_back(scene: Scene, world: World) -> None:
    old, new = scene.side.commits
    scene.run()
    world.pin("dev", old)
    outcome = again(scene)
    assert (outcome.commit, outcome.back) == (old, new)
