"""A store as a source: what was signed there is signed where it goes, and a part of it is not."""

from pathlib import Path

import pytest

from tests.unit.bundle.bundles import DECISION, FILES, REPO, files_of, new_store, write
from tests.unit.sign.making import asking, signer
from waybill import digest as digests
from waybill.bundle.direct import SourceCargo
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.bundle.sideload import Loading
from waybill.errors import Unsigned
from waybill.manifest import File, Manifest, provenance
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.sign.trust import Policy
from waybill.source.directory import DirectorySource
from waybill.source.select import Choice
from waybill.source.waybill_store import StoreSource
from waybill.store import evidence
from waybill.store.store import Store

OURS = signer()


@pytest.fixture
def there(tmp_path: Path) -> Store:
    """Holds the model as signed by us."""
    store, model = new_store(tmp_path / "there"), write(tmp_path / "model", FILES)
    cargo = SourceCargo.plan(DirectorySource(model), REPO, signer=OURS)
    Loading.plan(cargo, store, DECISION).run()
    return store


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return Policy.load(asking(tmp_path / "trust.yaml", OURS))


def signed(store: Store) -> set[bytes]:
    return set(evidence.envelopes(store, REPO, store.resolve(REPO, "main")))


def test_signatures_go_along_into_another_store(
    there: Store, policy: Policy, tmp_path: Path
) -> None:
    here, cargo = new_store(tmp_path / "here"), SourceCargo.plan(StoreSource(there, REPO, "main"))
    Loading.plan(cargo, here, DECISION, policy=policy).run()
    assert files_of(here) == FILES
    assert signed(here) == signed(there) != set()


def test_signatures_go_along_in_a_bundle_beside_those_of_who_packs(
    there: Store, tmp_path: Path
) -> None:
    theirs, out = signer("p256"), tmp_path / "out"
    Packing.plan(StoreSource(there, REPO, "main"), REPO).run([out], signer=theirs)
    (revision,) = Bundle.open([out]).index.revisions
    assert signed(there) < set(revision.signatures)
    makers = [dsse.Envelope.parse(one, "it").signatures[0].key_id for one in revision.signatures]
    assert makers == [theirs.key_id] * 3 + [OURS.key_id] * 3


def test_a_part_of_what_was_signed_is_not_signed(
    there: Store, policy: Policy, tmp_path: Path
) -> None:
    some = Choice(exclude=("tokenizer.json",))
    cargo = SourceCargo.plan(StoreSource(there, REPO, "main"), choice=some)
    with pytest.raises(Unsigned):
        Loading.plan(cargo, new_store(tmp_path / "here"), DECISION, policy=policy)


def test_what_is_no_signature_of_it_stays_behind(there: Store, tmp_path: Path) -> None:
    before, commit = signed(there), there.resolve(REPO, "main")
    about_other = provenance(Manifest.of([File("a", digests.of(b"a"), 1)]), {}, "a test")
    for data in (b"{", b"\xff\xfe{\0}\0", dsse.sign(about_other, OURS)):
        there.add_referrer(REPO, commit, data, ENVELOPE_TYPE)
    Packing.plan(StoreSource(there, REPO, "main"), REPO).run([tmp_path / "out"])
    (revision,) = Bundle.open([tmp_path / "out"]).index.revisions
    assert set(revision.signatures) == before
