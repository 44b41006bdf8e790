"""A revision of which very much is said: nothing is passed over in silence."""

import os
from pathlib import Path

import pytest

from tests.unit.release.world import REPO, World, new_world
from tests.unit.sign.making import NOW, said, signer
from tests.unit.sign.test_trust import OURS, check, trusting
from waybill.errors import TooMuchSaid
from waybill.manifest import PROVENANCE, Manifest
from waybill.release.evidence import gather
from waybill.sign import dsse, trust
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.store import evidence, layout
from waybill.store.evidence import envelopes


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many are read."""
    monkeypatch.setattr(trust, "ENVELOPES", 4)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path / "project")


@pytest.fixture
def made(world: World) -> Manifest:
    """Two statements of packing are kept with it."""
    return world.revision("dev", 1)


def junk(world: World, made: Manifest, count: int) -> None:
    for number in range(count):
        data = b"junk %d" % number
        world.store("dev").add_referrer(REPO, made.commit, data, ENVELOPE_TYPE)


@pytest.mark.usefixtures("four")
def test_a_flood_of_junk_is_not_read_to_its_end(tmp_path: Path) -> None:
    made = signer()
    policy, good = trusting(tmp_path, made), dsse.sign(said(OURS), made)
    check(policy, *[b"junk"] * 3, good)
    check(policy, good, *[b"junk"] * 4)
    with pytest.raises(TooMuchSaid, match="more than 4 statements are kept about Acme/Demo at "):
        check(policy, *[b"junk"] * 4, good)


def test_no_more_is_read_than_it_takes_to_find_who_signed(tmp_path: Path) -> None:
    made = signer()
    found = iter([b"junk", dsse.sign(said(OURS), made), b"not needed"])
    trusting(tmp_path, made).check("Acme/Demo", OURS.descriptor.digest, found, NOW)
    assert list(found) == [b"not needed"]


@pytest.mark.usefixtures("four")
def test_what_is_not_all_read_is_not_gone_by(world: World, made: Manifest) -> None:
    """The one that is left out might be the test that failed."""
    store = world.store("dev")
    junk(world, made, 2)
    assert [one.predicate_type for one in gather(store, REPO, made.commit, None)] == [PROVENANCE]
    junk(world, made, 3)
    with pytest.raises(TooMuchSaid, match=f"more than 4 .* about {REPO}@{made.commit} in "):
        gather(store, REPO, made.commit, None)


@pytest.mark.usefixtures("four")
def test_what_was_said_first_is_read_first_and_the_rest_not_left_out_in_silence(
    world: World, made: Manifest, tmp_path: Path
) -> None:
    store, made_by = world.store("dev"), signer()
    junk(world, made, 5)
    evidence.sign_provenance(store, REPO, made, made_by, "test")
    with pytest.raises(TooMuchSaid):
        list(envelopes(store, REPO, made.commit))
    for blob in evidence.signed(store, REPO, made.commit):
        path = store.backend.local_path(layout.referrer(REPO, made.commit, blob.digest))
        assert path
        if not store.read(blob.digest).startswith(b"junk"):
            os.utime(path, (1, 1))
    policy = trusting(tmp_path, made_by)
    evidence.require_trust(policy, store, REPO, made.descriptor.digest, made.commit, NOW)
