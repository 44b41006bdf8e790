"""A replay that is stopped anywhere goes on; who makes it, and in spite of what, is kept."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from tests.unit.release.test_crash import crashes
from tests.unit.release.test_replay import (
    Carry,
    Side,
    carry,
    history_of,
    inside,
    outside,
    said_of,
    telling,
)
from tests.unit.release.world import OTHER, REPO, World
from tests.unit.sign.making import ed25519_key, policy_file, public_pem, write_key
from waybill.bundle.media import Bundle
from waybill.errors import Frozen, PromotionDenied, RefMoved
from waybill.manifest import Descriptor, statement
from waybill.release import replay
from waybill.release.apply import Person
from waybill.release.replay import Replay
from waybill.sign.keys import Signer
from waybill.sign.predicates import Health, Promotion
from waybill.store import evidence
from waybill.store.audit import audit, inventory
from waybill.store.layout import Ref
from waybill.store.store import Store

__all__ = ["carry", "inside", "outside"]  # Fixtures.

HOUR = timedelta(hours=1)
ALWAYS = {"always": {"cron": "* * * * *", "duration": "1d", "timeZone": "UTC"}}
MODELS = (("chat", REPO), ("embed", OTHER))


def policy(side: Side, freeze: dict[str, Any] | None = None, **step: Any) -> None:
    value = {"steps": {"test": step}, "freeze": freeze or {}}
    (side.world.project / "values/policy.yaml").write_text(json.dumps(value))


def prepare(world: World, bundle: Path, **person: Any) -> Replay:
    index, by = Bundle.open([bundle]).index, person.pop("by", "carol")
    at = person.pop("at", None)
    return replay.prepare(world.environments, index, "it", Person(by, **person), at=at)


@pytest.fixture
def two(outside: Side, inside: Side, tmp_path: Path) -> Path:
    """Two models stand at a first plan on both sides; a second one has crossed and is loaded."""
    (inside.world.project / "values/policy.yaml").unlink()
    for turn in (1, 2):
        plan, bundles = tmp_path / f"plan-{turn}", [tmp_path / f"{turn}-{at}" for at in range(2)]
        for at, (model, repo) in enumerate(MODELS):
            commit = outside.world.revision("dev", turn + 3 * at, repo).commit
            outside.world.pin("dev", commit, model, repo)
        outside.run("plan", "--from", "dev", "--to", "test", "--out", plan)
        outside.run("apply", plan)
        for bundle, (model, repo) in zip(bundles, MODELS, strict=True):
            stores = f"store+file://{outside.world.project}/stores/test"
            source = f"{stores}#{repo}@{outside.world.stable('test', model)}"
            outside.run("pack", source, "--out", bundle, "--plan", plan, "--key", outside.key)
            inside.run("sideload", bundle, "--to", "test")
        if turn == 1:
            inside.run("apply", bundles[0])
    return bundles[0]


def test_crash_between_any_two_steps(
    outside: Side, inside: Side, two: Path, tmp_path: Path
) -> None:
    """What was pinned works; the same medium goes on, also in a freeze once it was begun."""
    old, states = inside.world.pins("test"), set()
    wanted = {model: outside.history(model, repo) for model, repo in MODELS}

    def act(world: World) -> None:
        replay.carry_out(prepare(world, two))

    for world in crashes(inside.world, tmp_path / "crashes", act):
        side = replace(inside, world=world)
        store = world.store("test")
        assert audit(store, inventory(store)).wrong == {}
        held = world.pins("test")
        assert held == old or {one: held.models[one].stable.commit for one in wanted} == {
            one: outside.world.stable("test", one) for one in wanted
        }
        moved = tuple(side.history(model, repo) == wanted[model] for model, repo in MODELS)
        states.add((moved, held == old))
        if any(moved):
            policy(side, ALWAYS)
        act(world)
        for model, repo in MODELS:
            assert side.history(model, repo) == wanted[model]
            assert world.stable("test", model) == outside.world.stable("test", model)
    # Before, between the two refs, before and after the file.
    assert {moved for moved, _ in states} == {(False, False), (True, False), (True, True)}


def test_replay_that_loses_one_model_takes_the_others_back(
    outside: Side, inside: Side, two: Path
) -> None:
    """As if it had not been: the same medium is followed later on, with the very same records."""
    late, before = prepare(inside.world, two), inside.history()
    pinned = inside.world["test"].pins_path.read_bytes()
    store, ref = inside.world.store("test"), Ref.pin("test", "embed")
    first = store.head(OTHER, ref)
    assert first
    store.move(OTHER, ref, first.commit, expected=first, by="eve", why="", hold=True)
    with pytest.raises(RefMoved, match=r"pins/test.embed.stable"):
        replay.carry_out(late)
    assert inside.history() == before
    assert inside.world["test"].pins_path.read_bytes() == pinned
    replay.carry_out(prepare(inside.world, two))
    assert inside.history() == outside.history()
    assert inside.world.stable("test", "embed") == outside.world.stable("test", "embed")


def test_override_of_a_freeze_is_kept_with_who_made_it(
    outside: Side, inside: Side, carry: Carry
) -> None:
    bundle = carry(1)
    policy(inside, ALWAYS)
    inside.run("apply", bundle, code=6)
    words = ("--override-freeze", "a leak", "--why", "CHG-1", "--by", "ines", "--key", inside.key)
    inside.run("apply", bundle, *words)
    assert inside.history() == outside.history()
    said = said_of(inside, bundle)
    made = [one for one in said if isinstance(one.parsed, Promotion)]
    here = [one for one in made if one.parsed and one.predicate["by"] == "ines"]
    assert [(one.predicate["why"], one.signers) for one in here] == [
        ("CHG-1; freeze overridden: a leak", ("release",))
    ]
    assert len(made) == 2, "the other is that of the other side"


def test_who_makes_it_here_is_kept_without_a_key_and_once(inside: Side, carry: Carry) -> None:
    bundle = carry(1, tested=True)
    for _ in range(2):
        inside.run("apply", bundle, "--by", "ines", "--why", "CHG-1")
    said = said_of(inside, bundle)
    made = [one for one in said if isinstance(one.parsed, Promotion) and not one.signed]
    assert [(one.predicate["by"], one.predicate["why"]) for one in made] == [("ines", "CHG-1")]


@pytest.mark.parametrize(
    ("person", "counts"),
    [({"by": "pipeline"}, True), ({"by": "release"}, False), ({"by": "x", "signer": ""}, False)],
)
def test_whoever_makes_it_here_does_not_approve_it(
    outside: Side, inside: Side, carry: Carry, person: dict[str, Any], counts: bool
) -> None:
    """The key `release` has approved: not if it is the one that applies, by name or by itself."""
    bundle = carry(1)
    policy(inside, approvals={"count": 1, "of": ["release"]})
    if "signer" in person:
        person = {**person, "signer": Signer.load(inside.key)}
    plan = outside.key.parent / "plan-1.json"
    digest = json.loads(plan.read_text())["digest"]
    store = inside.world.store("test")
    made = store.manifest(REPO, str(outside.world.stable("test")))
    said = {"plan": digest, "from": "dev", "to": "test", "at": "2026-01-01T00:00:00Z", "by": "ann"}
    data = statement(made, "https://waybill.dev/approval/v1", said)
    evidence.add_signed(store, REPO, made, data, Signer.load(inside.key))
    found = prepare(inside.world, bundle, **person)
    if counts:
        found.allowed()
    else:
        with pytest.raises(PromotionDenied, match="promotion is their own: release"):
            found.allowed()


def after(monkeypatch: pytest.MonkeyPatch, span: timedelta) -> None:
    """What is recorded from now on is recorded that much later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + span

    monkeypatch.setattr("waybill.store.store.datetime", Later)


def test_soak_and_health_of_the_other_side_count(
    outside: Side, inside: Side, carry: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since the environment before came to the revision there, by its own records, until it was
    promoted there: nobody knows what it ran while the medium was on its way."""
    world = outside.world
    world.pin("dev", world.revision("dev", 1).commit)
    came = datetime.fromisoformat(world.records("dev")[0].at)
    seen = Health(
        "dev", "chat", str(world.stable("dev")), came, came + HOUR, 100, 0, {"p95": 0.5}, 1
    )
    store = world.store("dev")
    made = store.manifest(REPO, seen.commit)
    data = statement(made, seen.TYPE, seen.as_json())
    evidence.add_signed(store, REPO, made, data, Signer.load(outside.key))
    after(monkeypatch, HOUR)
    bundle = carry(1)
    health = {"signedBy": ["release"], "for": "1h", "requests": 100}
    policy(inside, soak="2h", health=health)
    an_hour = r"soak of chat .* dev ran it from .*: 1 h( \d+ s)? of 2 h$"
    with pytest.raises(PromotionDenied, match=an_hour):
        prepare(inside.world, bundle, at=came + 24 * HOUR).allowed()
    policy(inside, soak="1h", health=health)
    prepare(inside.world, bundle, at=came + 2 * HOUR).allowed()
    policy(inside, health={"signedBy": ["release"], "for": "2h"})
    with pytest.raises(PromotionDenied, match="watched in dev for 1 h of 2 h"):
        prepare(inside.world, bundle, at=came + 3 * HOUR).allowed()


def test_soak_of_this_side_begins_when_it_was_made_here(
    inside: Side, carry: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, -2 * HOUR)
    bundle = carry(1)
    monkeypatch.undo()
    policy(inside)
    inside.run("apply", bundle)
    rules = {"steps": {"prod": {"soak": "1h"}}}
    (inside.world.project / "values/policy.yaml").write_text(json.dumps(rules))
    told = inside.run("plan", "--from", "test", "--to", "prod")
    soak = next(one for one in told["outlook"]["gates"] if one["gate"] == "soak")
    assert soak["result"] == "fail"
    assert " h of" not in soak["reason"]


def test_freeze_of_this_side_stops_it(inside: Side, carry: Carry) -> None:
    bundle = carry(1)
    policy(inside, ALWAYS)
    with pytest.raises(Frozen):
        replay.carry_out(prepare(inside.world, bundle))
    assert inside.history() == []


def test_freeze_that_began_while_all_was_read_stops_it(
    inside: Side, carry: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read twice for that."""
    bundle, read, verify = carry(1), list[str](), Store.verify
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)

    def slow(store: Store, blob: Descriptor) -> None:
        read.append(blob.digest)
        verify(store, blob)

    monkeypatch.setattr(replay, "now", lambda: noon + (HOUR / 2 if read else -HOUR))
    monkeypatch.setattr(Store, "verify", slow)
    lunch = {"cron": "0 12 * * *", "duration": "1h", "timeZone": "UTC"}
    policy(inside, {"lunch": lunch}, bytes="deep")
    with pytest.raises(Frozen):
        replay.carry_out(prepare(inside.world, bundle).allowed())
    assert inside.history() == []
    assert len(read) == len(set(read)) > 1


def test_only_those_are_believed_whom_the_policy_names(
    inside: Side, carry: Carry, tmp_path: Path
) -> None:
    bundle = carry(1)
    trust = inside.world.project / "values/trust.yaml"
    other = write_key(tmp_path / "other.pem", ed25519_key())
    pairs = {"release": inside.key, "carrier": other}
    known = {
        name: {"publicKey": public_pem(Signer.load(key).private)} for name, key in pairs.items()
    }
    policy_file(trust, keys=known, default={"unsigned": "allow"})
    policy(inside, promotedBy=["carrier"])
    assert "no signed history" in inside.run("apply", bundle, code=3)["message"]
    policy(inside, promotedBy=["carrier", "release"])
    inside.run("apply", bundle)


def test_each_medium_brings_its_own_promotion(
    outside: Side, inside: Side, carry: Carry, tmp_path: Path
) -> None:
    """Not another one of the same revision, which may be in the store as well."""
    bundle = carry(1)
    right = history_of(inside, bundle)
    later = {**right.records[0], "at": "2099-01-01T00:00:00Z", "previous": None}
    other = replace(right, agreed={**right.agreed, "by": "eve"}, records=(later,))
    stranger = telling(outside, inside, other, tmp_path)
    inside.run("sideload", bundle, "--to", "test")
    assert "its last step is of another plan" in inside.run("apply", stranger, code=4)["message"]
    inside.run("apply", bundle)
    assert inside.history() == outside.history()


def test_plan_without_its_shape_is_refused(
    outside: Side, inside: Side, carry: Carry, tmp_path: Path
) -> None:
    bundle = carry(1)
    right = history_of(inside, bundle)
    wrong = telling(outside, inside, replace(right, agreed={"from": "dev"}), tmp_path)
    assert "is a required property" in inside.run("apply", wrong, code=2)["message"]
