"""Shares of the traffic, when a revision goes back, and what the pins say on the way."""

import pytest
import yaml

from tests.unit.release.world import World
from waybill.deliver.metrics import Seen
from waybill.errors import BadFile
from waybill.release import steps
from waybill.release.steps import Limits, Share

STEPS = {"steps": [{"weight": 10, "pause": "5m"}, {"weight": 50, "pause": "1h"}]}


def say(world: World, name: str, **entry: object) -> None:
    values = {"global": {"models": {"chat": {"enabled": True, **entry}}}}
    world[name].values_path.write_text(yaml.safe_dump(values))


def traffic(world: World, name: str = "dev") -> dict[str, tuple[str, int]]:
    held = world.pins(name).models["chat"].traffic
    return {slot: (share.commit, share.weight) for slot, share in held.items()}


@pytest.fixture
def commits(world: World) -> list[str]:
    return [world.revision("dev", number).commit for number in (1, 2, 3)]


def test_steps_are_those_of_the_values(world: World) -> None:
    say(world, "dev", **STEPS, limits={"errorPercent": 1, "ttftSeconds": 2.5})
    found = steps.of(world["dev"], "chat")
    assert found.shares == (Share(10, 300), Share(50, 3600))
    assert found.limits == Limits(errors=0.01, ttft=2.5)
    assert steps.of(world["test"], "chat") == steps.Steps()


def test_a_rollout_goes_on_from_the_share_that_it_has_reached(world: World) -> None:
    say(world, "dev", **STEPS)
    found = steps.of(world["dev"], "chat")
    assert [share.weight for share in found.left(0, 60)] == [10, 50, 100]
    assert found.left(50, 60) == [Share(50, 3600), Share(100, 60)]
    assert found.left(100, 60) == [Share(100, 60)]


@pytest.mark.parametrize("wrong", [[{"weight": 10}], [{"weight": "x", "pause": "5m"}], ["5m"], 7])
def test_steps_of_another_form_are_told(world: World, wrong: object) -> None:
    say(world, "dev", steps=wrong)
    with pytest.raises(BadFile, match=r"global\.models\.chat\.steps and limits: write them as"):
        steps.of(world["dev"], "chat")


def test_a_new_revision_waits_for_its_steps(world: World, commits: list[str]) -> None:
    world.pin("dev", commits[0])
    say(world, "dev", **STEPS)
    world.pin("dev", commits[1])
    assert world.stable("dev") == world.ref("dev") == commits[1]
    assert traffic(world) == {"stable": (commits[1], 0), "previous": (commits[0], 100)}


def test_the_first_revision_has_nobody_to_wait_for(world: World, commits: list[str]) -> None:
    say(world, "dev", **STEPS)
    world.pin("dev", commits[0])
    assert traffic(world) == {"stable": (commits[0], 100)}


def test_a_promotion_waits_for_the_steps_of_its_target(world: World, commits: list[str]) -> None:
    for commit in commits[:2]:
        world.pin("dev", commit)
        world.promote("dev", "test")
        say(world, "test", **STEPS)
    assert traffic(world)["stable"] == (commits[1], 100)
    assert traffic(world, "test") == {"stable": (commits[1], 0), "previous": (commits[0], 100)}


def test_the_next_one_keeps_beside_it_what_serves(world: World, commits: list[str]) -> None:
    world.pin("dev", commits[0])
    say(world, "dev", **STEPS)
    world.pin("dev", commits[1])
    world.pin("dev", commits[2])
    assert traffic(world) == {"stable": (commits[2], 0), "previous": (commits[0], 100)}


def test_a_rollback_takes_all_at_once_also_within_the_steps(
    world: World, commits: list[str]
) -> None:
    world.pin("dev", commits[0])
    say(world, "dev", **STEPS)
    world.pin("dev", commits[1])
    world.rollback("dev")
    assert traffic(world) == {"stable": (commits[0], 100), "previous": (commits[1], 0)}
    assert world.ref("dev") == commits[0]


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Seen(100, 5), ""),
        (Seen(100, 6), "6 of 100 requests failed (6.0%, and 5.0% is the most)"),
        (Seen(19, 19), ""),
        (Seen(20, 20), "20 of 20 requests failed (100.0%, and 5.0% is the most)"),
        (Seen(50, 0, {"p50": 1.0, "p95": 2.0}), ""),
        (
            Seen(50, 0, {"p50": 0.1, "p95": 2.01}),
            "one request in twenty waits 2.01 s for its first token, and 2 s is the most",
        ),
    ],
)
def test_a_revision_goes_back_beyond_its_limits(seen: Seen, why: str) -> None:
    assert Limits(ttft=2.0).breach(seen) == why


def test_few_requests_are_judged_when_no_more_come() -> None:
    assert Limits().breach(Seen(2, 2), over=True).startswith("2 of 2 requests failed")
    assert Limits().breach(Seen(0, 0), over=True) == ""


@pytest.mark.parametrize(
    ("text", "length"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, length: int) -> None:
    assert steps.seconds(text) == length


@pytest.mark.parametrize("text", ["", "s", "10", "10w", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        steps.seconds(text)


def test_values_that_are_not_there_have_no_steps(world: World) -> None:
    assert not world["prod"].values_path.exists()
    assert steps.of(world["prod"], "chat").shares == ()
