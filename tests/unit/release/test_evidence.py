"""What is said of a revision: read from a store with the names of those who signed it."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.release.world import REPO, World
from tests.unit.sign.making import policy_file, public_pem, signer
from waybill import digest as digests
from waybill.errors import RevisionNotFound
from waybill.manifest import PROVENANCE, STATEMENT_TYPE, Manifest, statement
from waybill.release.evidence import Evidence, gather
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.keys import Signer
from waybill.sign.predicates import Outcome, Trial
from waybill.sign.trust import Policy
from waybill.store import evidence, layout

TRIAL = Trial("smoke", "dev", "chat", datetime.now(UTC).replace(microsecond=0), Outcome.PASSED)


@pytest.fixture
def made(world: World) -> Manifest:
    return world.revision("dev", 1)


def say(world: World, made: Manifest, by: Signer) -> None:
    said = statement(made, TRIAL.TYPE, TRIAL.as_json())
    evidence.add_signed(world.store("dev"), REPO, made, said, by)


def policy(path: Path, **signers: Signer) -> Policy:
    known = {name: {"publicKey": public_pem(one.private)} for name, one in signers.items()}
    return Policy.load(policy_file(path, keys=known, default={"unsigned": "allow"}))


def trials_of(world: World, made: Manifest, trusted: Policy | None) -> list[Evidence]:
    found = gather(world.store("dev"), REPO, made.commit, trusted)
    return [one for one in found if one.predicate_type == TRIAL.TYPE]


def test_signers_have_the_names_that_the_policy_gives_them(
    world: World, made: Manifest, tmp_path: Path
) -> None:
    ann, eve = signer(), signer("p256")
    for one in (ann, eve):
        say(world, made, one)
    found = trials_of(world, made, policy(tmp_path / "trust.yaml", ann=ann, bob=signer()))
    assert sorted(one.signers for one in found) == [(), ("ann",)]
    assert all(one.parsed == TRIAL and one.signed for one in found)
    assert sorted(one.claims for one in found) == sorted(
        (f"key {one.key_id[:16]}",) for one in (ann, eve)
    )


def test_without_a_policy_nobody_is_known(world: World, made: Manifest) -> None:
    say(world, made, signer())
    (found,) = trials_of(world, made, None)
    assert (found.signers, found.signed, found.parsed) == ((), True, TRIAL)


def test_what_nobody_signed_is_told_as_such(world: World, made: Manifest) -> None:
    store = world.store("dev")
    said = [one for one in gather(store, REPO, made.commit, None) if not one.signed]
    assert [one.predicate_type for one in said] == [PROVENANCE]
    assert all(store.read(one.digest) == one.data for one in said)


def test_what_is_damaged_or_about_another_revision_is_passed_over(
    world: World, made: Manifest
) -> None:
    say(world, made, signer())
    store, other = world.store("dev"), world.revision("dev", 2)
    before = gather(store, REPO, made.commit, None)
    about_other = statement(other, TRIAL.TYPE, TRIAL.as_json())
    for data, kind in (
        (b"{", ENVELOPE_TYPE),
        (b"[]", STATEMENT_TYPE),
        (about_other, STATEMENT_TYPE),
    ):
        store.add_referrer(REPO, made.commit, data, kind)
    lost = b"lost"
    store.add_referrer(REPO, made.commit, lost, ENVELOPE_TYPE)
    store.backend.delete(layout.blob(digests.of(lost)), math.inf)
    assert gather(store, REPO, made.commit, None) == before


def test_an_envelope_that_was_changed_has_no_signer(
    world: World, made: Manifest, tmp_path: Path
) -> None:
    ann = signer()
    say(world, made, ann)
    trusted = policy(tmp_path / "trust.yaml", ann=ann)
    (right,) = trials_of(world, made, trusted)
    changed = right.data.replace(right.data[-40:-36], b"AAAA")
    world.store("dev").add_referrer(REPO, made.commit, changed, ENVELOPE_TYPE)
    assert sorted(one.signers for one in trials_of(world, made, trusted)) == [(), ("ann",)]


def test_a_predicate_of_a_wrong_shape_is_kept_and_not_parsed(world: World, made: Manifest) -> None:
    said = statement(made, TRIAL.TYPE, {"result": "GOOD"})
    evidence.add_signed(world.store("dev"), REPO, made, said, signer())
    (found,) = trials_of(world, made, None)
    assert found.parsed is None and found.predicate == {"result": "GOOD"}


@pytest.mark.usefixtures("made")
def test_a_revision_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(RevisionNotFound):
        gather(world.store("dev"), REPO, "f" * 40, None)
