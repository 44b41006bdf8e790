"""Who signed a revision, as the hub tells it: byte for byte, and only that."""

import json

from starlette.testclient import TestClient

from tests.unit.hub.models import REPO, UPSTREAM
from tests.unit.sign.making import signer
from waybill.manifest import STATEMENT_TYPE, Manifest
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE
from waybill.store import evidence
from waybill.store.store import Store

PLACE = f"/api/models/{REPO}/signatures"


def sign(store: Store, manifest: Manifest, count: int = 1) -> set[bytes]:
    for _ in range(count):
        evidence.sign_provenance(store, REPO, manifest, signer(), "a test")
    return set(evidence.envelopes(store, REPO, manifest.commit))


def test_signatures_are_listed_and_given_byte_for_byte(
    hub: TestClient, store: Store, tiny: Manifest
) -> None:
    assert hub.get(f"{PLACE}/main").json() == {"signatures": []}
    made = sign(store, tiny, 2)
    for revision in ("main", tiny.commit, UPSTREAM):
        named = hub.get(f"{PLACE}/{revision}").json()["signatures"]
        found = [hub.get(f"{PLACE}/{revision}/{one}") for one in named]
        assert {one.content for one in found} == made and len(made) == 2
        assert {one.headers["content-type"] for one in found} == {ENVELOPE_TYPE}


def test_no_other_blob_is_given(hub: TestClient, store: Store, tiny: Manifest) -> None:
    sign(store, tiny)
    store.add_referrer(REPO, tiny.commit, b"{}", STATEMENT_TYPE)
    said = [one for one in store.referrers(REPO, tiny.commit) if one.media_type != ENVELOPE_TYPE]
    assert said
    for digest in (*tiny.blobs, *(one.digest for one in said), "sha256:" + "0" * 64, ".."):
        answer = hub.get(f"{PLACE}/main/{digest}")
        assert answer.status_code in (400, 404), answer.text


def test_what_is_too_large_is_not_told(hub: TestClient, store: Store, tiny: Manifest) -> None:
    store.add_referrer(REPO, tiny.commit, b" " * (dsse.LIMIT + 1), ENVELOPE_TYPE)
    for number in range(3):
        store.add_referrer(REPO, tiny.commit, json.dumps(number).encode(), ENVELOPE_TYPE)
    assert len(hub.get(f"{PLACE}/main").json()["signatures"]) == 3
