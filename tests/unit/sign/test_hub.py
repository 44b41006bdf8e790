"""A hub with a trust policy: what it refuses, and what a changed policy does to its memory."""

import itertools
import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.hub.models import FILES, REPO, UPSTREAM, add, fill, new_store
from tests.unit.sign.making import (
    DAY,
    NOW,
    Authority,
    asking,
    asking_authority,
    certified,
    policy_file,
    public_pem,
    signer,
)
from waybill.errors import BadFile
from waybill.hub.app import create_app
from waybill.hub.settings import Settings
from waybill.sign.keys import Signer
from waybill.store import evidence
from waybill.store.store import Store

FILE = f"/{REPO}/resolve/main/README.md"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = new_store(tmp_path)
    fill(store)
    return store


def trust(folder: Path, *signers: Signer) -> Path:
    path = asking(folder / "trust.yaml", *signers)
    # Two writings within one tick of the clock must look different.
    os.utime(path, (0, next(_TICKS)))
    return path


_TICKS = itertools.count()


def sign(store: Store, made: Signer) -> None:
    manifest = store.manifest(REPO, store.resolve(REPO, "main"))
    evidence.sign_provenance(store, REPO, manifest, made, "a test")


def hub(store: Store, path: Path) -> TestClient:
    return TestClient(create_app(store, Settings(trust=str(path))), follow_redirects=False)


def test_unsigned_revisions_are_refused_in_words(store: Store, tmp_path: Path) -> None:
    made = signer()
    with hub(store, trust(tmp_path, made)) as client:
        for path in (FILE, f"/api/models/{REPO}", f"/{REPO}/resolve/{UPSTREAM}/config.json"):
            answer = client.get(path)
            assert answer.status_code == 403
            assert "is not signed, and " in answer.headers["x-error-message"]
            assert made.key_id[:16] in answer.json()["error"]
        assert 'waybill_hub_untrusted_total{error="Unsigned"} 3.0' in client.get("/metrics").text
        sign(store, made)
        assert client.get(FILE).content == FILES["README.md"]


def test_a_new_policy_counts_at_once_for_what_is_in_memory(store: Store, tmp_path: Path) -> None:
    made, other = signer(), signer("p256")
    sign(store, made)
    with hub(store, trust(tmp_path, made)) as client:
        assert client.get(FILE).status_code == 200
        trust(tmp_path, other)
        answer = client.get(FILE)
        assert answer.status_code == 403
        assert f"key {made.key_id[:16]} is not trusted" in answer.headers["x-error-message"]
        sign(store, other)
        assert client.get(FILE).status_code == 200
        (tmp_path / "trust.yaml").write_text("junk")
        assert client.get(FILE).status_code == 200, "what was read before still counts"


def test_the_end_of_a_certificate_stops_no_model(store: Store, tmp_path: Path) -> None:
    authority = Authority()
    sign(store, certified(authority, since=NOW - DAY / 2, until=NOW - DAY / 4))
    with hub(store, asking_authority(tmp_path / "trust.yaml", authority)) as client:
        assert client.get(FILE).status_code == 200


def test_another_repo_is_not_asked_for_signatures(store: Store, tmp_path: Path) -> None:
    known = {"k": {"publicKey": public_pem(signer().private)}}
    rule = {"signedBy": ["k"], "unsigned": "refuse"}
    path = policy_file(
        tmp_path / "trust.yaml", keys=known, repos={"other/*": rule}, default={"unsigned": "allow"}
    )
    with hub(store, path) as client:
        assert client.get(FILE).status_code == 200


def test_a_hub_without_a_usable_policy_does_not_start(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        create_app(store, Settings(trust=str(tmp_path / "none.yaml")))


def test_damaged_signatures_are_passed_over(store: Store, tmp_path: Path) -> None:
    made = signer()
    sign(store, signer())
    (blob,) = [
        one
        for one in store.referrers(REPO, store.resolve(REPO, "main"))
        if "dsse" in one.media_type
    ]
    path = store.backend.local_path(f"blobs/sha256/{blob.digest[7:]}")
    assert path
    path.chmod(0o600)
    path.write_bytes(b"junk")
    sign(store, made)
    with hub(store, trust(tmp_path, made)) as client:
        assert client.get(FILE).status_code == 200


def test_the_same_content_elsewhere_needs_its_own_signature(store: Store, tmp_path: Path) -> None:
    made = signer()
    sign(store, made)
    other = type(REPO)("other", "model")
    manifest = add(store, FILES, other)
    with hub(store, trust(tmp_path, made)) as client:
        path = f"/{other}/resolve/{manifest.commit}/README.md"
        assert client.get(path).status_code == 403
