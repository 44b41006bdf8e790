"""The target's trust policy decides what is promoted to it, before a byte is copied."""

from pathlib import Path

import pytest

from tests.unit.release.world import REPO, World, new_world, trust_in
from tests.unit.sign.making import (
    DAY,
    NOW,
    Authority,
    asking,
    asking_authority,
    certified,
    signer,
)
from waybill.deliver.environments import Environments
from waybill.errors import BadFile, Unsigned, UntrustedSignature
from waybill.release import apply
from waybill.release.apply import Person
from waybill.sign.keys import Signer
from waybill.store import evidence


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One revision is pinned in dev, and test has a trust policy: values/trust/test.yaml."""
    world = new_world(tmp_path / "project")
    trust_in(world.project, ["test"], "values/trust/test.yaml")
    world.pin("dev", world.revision("dev", 1).commit)
    return World(world.project)


def trust(world: World, made: Signer) -> None:
    path = world.project / "values/trust/test.yaml"
    path.parent.mkdir(exist_ok=True)
    asking(path, made)


def sign(world: World, made: Signer) -> None:
    store = world.store("dev")
    manifest = store.manifest(REPO, str(world.stable("dev")))
    evidence.sign_provenance(store, REPO, manifest, made, "a test")


def promote(world: World) -> None:
    apply.carry_out(apply.prepare(world.environments, "dev", "test", [], Person("a")))


def test_what_is_unsigned_is_not_promoted(world: World) -> None:
    made = signer()
    trust(world, made)
    with pytest.raises(Unsigned, match=r"values/trust/test\.yaml asks for a signature by k0"):
        promote(world)
    sign(world, signer())
    with pytest.raises(UntrustedSignature):
        promote(world)
    assert world.stable("test") is None
    sign(world, made)
    promote(world)
    assert world.stable("test") == world.stable("dev")


def test_signatures_come_along(world: World) -> None:
    made = signer()
    trust(world, made)
    sign(world, made)
    promote(world)
    commit = str(world.stable("dev"))
    stores = [world.store(name) for name in ("dev", "test")]
    kept = [sorted(evidence.envelopes(store, REPO, commit)) for store in stores]
    assert kept[0] == kept[1] != []


def test_what_the_hub_would_refuse_is_not_pinned(world: World) -> None:
    made, revision = signer(), world.revision("test", 2)
    trust(world, made)
    with pytest.raises(Unsigned, match=r"values/trust/test\.yaml asks for a signature by k0"):
        world.pin("test", revision.commit)
    assert (world.stable("test"), world.ref("test")) == (None, None)
    evidence.sign_provenance(world.store("test"), REPO, revision, made, "a test")
    world.pin("test", revision.commit)
    assert world.stable("test") == revision.commit


def test_what_the_hub_would_refuse_is_not_rolled_back_to(world: World) -> None:
    made, old = signer(), signer()
    trust(world, old)
    for number, signers in ((1, [old]), (2, [old, made])):
        revision = world.revision("test", number)
        for by in signers:
            evidence.sign_provenance(world.store("test"), REPO, revision, by, "a test")
        world.pin("test", revision.commit)
    trust(world, made)
    with pytest.raises(UntrustedSignature):
        world.rollback("test")
    assert world.stable("test") == world.ref("test") == revision.commit


def test_a_certificate_that_ended_does_not_take_back_what_is_in(world: World) -> None:
    authority = Authority()
    made = certified(authority, since=NOW - DAY / 2, until=NOW - DAY / 4)
    (world.project / "values/trust").mkdir()
    asking_authority(world.project / "values/trust/test.yaml", authority)
    revision = world.revision("test", 2)
    evidence.sign_provenance(world.store("test"), REPO, revision, made, "a test")
    world.pin("test", revision.commit)
    assert world.stable("test") == revision.commit


def test_a_policy_that_is_named_and_missing_stops_everything(world: World) -> None:
    with pytest.raises(BadFile, match=r"values/trust/test\.yaml"):
        promote(world)


def test_environments_without_a_policy_trust_everything(world: World) -> None:
    environments = Environments.load(world.project)
    assert environments["dev"].policy() is None
    assert environments["test"].trust_path == world.project / "values/trust/test.yaml"
