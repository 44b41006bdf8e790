"""A signed bundle: the same on every medium, checked by openssl, let in by a trust policy."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.bundle.bundles import (
    DECISION,
    FILES,
    REPO,
    bytes_below,
    files_of,
    new_store,
    of_bundle,
    plan,
    rewrite_index,
    small_pieces,
    write,
)
from tests.unit.sign.making import (
    Authority,
    asking,
    certificate_pem,
    certified,
    policy_file,
    public_pem,
    signer,
)
from waybill.bundle.base import Base
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Loading
from waybill.bundle.trusted import require_trust
from waybill.errors import BadFile, BadValue, Unsigned, UntrustedSignature
from waybill.manifest import STATEMENT_TYPE, statement
from waybill.sign import dsse
from waybill.sign.dsse import ENVELOPE_TYPE, Envelope
from waybill.sign.keys import Signer
from waybill.sign.trust import Policy
from waybill.store import sync
from waybill.store.store import Store


@pytest.fixture(autouse=True)
def small() -> object:
    with small_pieces():
        yield


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", FILES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path / "store")


def policy(folder: Path, *signers: Signer) -> Policy:
    return Policy.load(asking(folder / "trust.yaml", *signers))


def load(folder: Path, store: Store, trusted: Policy) -> None:
    Loading.plan(BundleCargo(Bundle.open([folder])), store, DECISION, policy=trusted).run()


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)


def commands(readme: str) -> list[str]:
    """What the README of a medium says about signatures, as people would type it."""
    lines = readme[readme.index("Check who packed it") :].splitlines()
    typed = [line.strip() for line in lines[: lines.index("")] if line.startswith("  ")]
    at = next(number for number, line in enumerate(typed) if line.startswith("for "))
    return [*typed[:at], "\n".join(typed[at:])]


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_openssl_alone_checks_a_bundle_as_its_readme_says(
    kind: str, model: Path, tmp_path: Path
) -> None:
    made, out = signer(kind), tmp_path / "out"
    plan(model).run([out], signer=made)
    (out / "KEY.pem").write_text(public_pem(made.private))
    verify, loop = commands((out / "README.txt").read_text())
    assert "Signature Verified Successfully" in shell(out, verify).stdout
    told = shell(out, loop)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    sums = out / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("a", "b", 1))
    assert "not signed: " in shell(out, loop).stdout
    index = out / "bundle.json"
    index.write_bytes(index.read_bytes().replace(b"Acme", b"Acne", 1))
    assert shell(out, verify).returncode != 0


def test_openssl_alone_checks_a_bundle_with_a_certificate(model: Path, tmp_path: Path) -> None:
    root = Authority("Root")
    below = Authority("Below", above=root)
    alone = certified(below)
    made, out = Signer(alone.private, (*alone.chain, below.certificate)), tmp_path / "out"
    plan(model).run([out], signer=made)
    (out / "CA.pem").write_text(certificate_pem(root.certificate))
    chain, verify, _ = commands((out / "README.txt").read_text())
    assert shell(out, chain).stdout.strip() == "bundle.crt: OK"
    assert "Signature Verified Successfully" in shell(out, verify).stdout
    (out / "CA.pem").write_text(certificate_pem(Authority("Root").certificate))
    assert shell(out, chain).returncode != 0


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_every_medium_and_every_run_has_the_same_bytes(
    kind: str, model: Path, tmp_path: Path
) -> None:
    made = signer(kind)
    one, two, again = (tmp_path / name for name in ("one", "two", "again"))
    plan(model).run([one, two], signer=made)
    for name in ("bundle.json", "bundle.sig"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    plan(model).run([again], signer=made)
    before = of_bundle(again)
    assert (again / "bundle.sig").read_bytes() == (one / "bundle.sig").read_bytes()
    assert plan(model).run([again], signer=made).reused
    assert of_bundle(again) == before


def test_a_finished_bundle_is_signed_later_and_by_others_too(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(model).run([out])
    made, other = certified(Authority()), signer()
    assert plan(model).run([out], signer=made).reused == 3
    assert {"bundle.sig", "bundle.crt"} <= {path.name for path in out.iterdir()}
    (revision,) = plan(model).run([out], signer=other).index.revisions
    assert not (out / "bundle.crt").exists()
    claims = [Envelope.parse(one, "here").signatures[0].key_id for one in revision.signatures]
    assert claims == [other.key_id] * 3 + [made.key_id] * 3


def test_no_signature_is_lost_for_want_of_a_key(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(model).run([out], signer=signer())
    signed = of_bundle(out)
    assert plan(model).run([out]).reused == 3
    assert of_bundle(out) == signed, "nothing is to be done, so no key is needed"
    (out / "part-00002.tar").unlink()
    signed, again = of_bundle(out), plan(model)
    with pytest.raises(BadValue, match=f"the bundle in {out} is signed"):
        again.check([out])
    with pytest.raises(BadValue, match=f"the bundle in {out} is signed"):
        again.run([out])
    assert of_bundle(out) == signed


def test_what_earlier_packings_said_of_other_things_is_not_kept(
    model: Path, tmp_path: Path
) -> None:
    made, out = signer(), tmp_path / "out"
    packing = plan(model)
    (revision,) = packing.run([out]).index.revisions
    test = dsse.sign(statement(revision.manifest, "https://acme.example/test", {}), made)
    packing.origin = replace(packing.origin, signed=(test,))
    (revision,) = packing.run([out]).index.revisions
    assert revision.signatures == (test,)
    assert plan(model).run([out]).index.revisions[0].signatures == ()


def test_signing_adds_to_what_is_said_and_changes_nothing_of_it(
    model: Path, tmp_path: Path
) -> None:
    (bare,) = plan(model).run([tmp_path / "bare"]).index.revisions
    (signed,) = plan(model).run([tmp_path / "signed"], signer=signer()).index.revisions
    assert signed.statements == bare.statements
    assert bare.signatures == ()
    payloads = [Envelope.parse(one, "here").payload for one in signed.signatures]
    assert tuple(payloads) == signed.statements
    kinds = [json.loads(one)["predicateType"] for one in signed.statements]
    assert kinds == [
        "https://slsa.dev/provenance/v1",
        "https://waybill.dev/license/v1",
        "https://cyclonedx.org/bom",
    ]


def test_what_is_said_reaches_the_store_and_the_next_one(
    model: Path, store: Store, tmp_path: Path
) -> None:
    made, other = signer(), new_store(tmp_path / "other")
    (revision,) = plan(model).run([tmp_path / "out"], signer=made).index.revisions
    load(tmp_path / "out", store, policy(tmp_path, made))
    commit = revision.manifest.commit
    found = store.referrers(REPO, commit)
    assert [one.media_type for one in found].count(STATEMENT_TYPE) == 3
    assert [one.media_type for one in found].count(ENVELOPE_TYPE) == 3
    assert {store.read(one.digest) for one in found} == {*revision.statements, *revision.signatures}
    sync.copy_revision(store, other, REPO, commit)
    assert other.referrers(REPO, commit) == found


def test_a_bundle_of_changes_is_signed_too(model: Path, store: Store, tmp_path: Path) -> None:
    made = signer()
    plan(model).run([tmp_path / "one"], signer=made)
    load(tmp_path / "one", store, policy(tmp_path, made))
    (model / "config.json").write_text("{}")
    base = Base.of_bundle([tmp_path / "one"])
    plan(model, base=base).run([tmp_path / "two"], signer=made)
    load(tmp_path / "two", store, policy(tmp_path, made))
    assert files_of(store)["config.json"] == b"{}"


def test_an_unsigned_bundle_is_refused_before_its_first_byte(
    model: Path, store: Store, tmp_path: Path
) -> None:
    plan(model).run([tmp_path / "out"])
    before = bytes_below(tmp_path / "store")
    with pytest.raises(Unsigned):
        load(tmp_path / "out", store, policy(tmp_path, signer()))
    assert bytes_below(tmp_path / "store") == before


def test_a_bundle_signed_by_somebody_else_is_refused(
    model: Path, store: Store, tmp_path: Path
) -> None:
    made, other = signer(), signer()
    plan(model).run([tmp_path / "out"], signer=other)
    before = bytes_below(tmp_path / "store")
    with pytest.raises(UntrustedSignature, match=other.key_id[:16]):
        load(tmp_path / "out", store, policy(tmp_path, made))
    assert bytes_below(tmp_path / "store") == before
    load(tmp_path / "out", store, policy(tmp_path, made, other))


def test_an_index_that_was_written_anew_is_refused(
    model: Path, store: Store, tmp_path: Path
) -> None:
    """Its revisions are signed, but not that they belong to this repo."""
    made, out = signer(), tmp_path / "out"
    plan(model).run([out], signer=made)
    facts = json.loads((out / "bundle.json").read_bytes())
    facts["revisions"][0]["repo"] = "Acme/Other"
    rewrite_index(out, facts)
    with pytest.raises(UntrustedSignature, match=r"bundle\.json has no signature that counts"):
        load(out, store, policy(tmp_path, made))


@pytest.mark.parametrize("name", ["bundle.sig", "bundle.crt"])
def test_a_damaged_signature_is_refused(
    name: str, model: Path, store: Store, tmp_path: Path
) -> None:
    made, out = signer(), tmp_path / "out"
    plan(model).run([out], signer=made)
    (out / name).write_bytes(b"junk")
    with pytest.raises((UntrustedSignature, BadFile)):
        load(out, store, policy(tmp_path, made))


def test_the_signature_of_another_bundle_lets_nothing_in(
    model: Path, store: Store, tmp_path: Path
) -> None:
    made = signer()
    plan(model).run([tmp_path / "one"], signer=made)
    (model / "config.json").write_text("{}")
    plan(model).run([tmp_path / "two"])
    facts = json.loads((tmp_path / "two/bundle.json").read_bytes())
    signed = json.loads((tmp_path / "one/bundle.json").read_bytes())
    facts["revisions"][0]["signatures"] = signed["revisions"][0]["signatures"]
    rewrite_index(tmp_path / "two", facts)
    with pytest.raises(BadFile, match="is about another manifest"):
        load(tmp_path / "two", store, policy(tmp_path, made))


def test_a_bundle_is_trusted_when_a_signature_of_its_index_is_asked_for(
    model: Path, tmp_path: Path
) -> None:
    made, out = signer(), tmp_path / "out"
    plan(model).run([out], signer=made)
    asking = policy(tmp_path, made)
    assert require_trust(Bundle.open([out]), asking).trusted
    assert not require_trust(Bundle.open([out]), None).trusted
    nobody = Policy.load(policy_file(tmp_path / "all.yaml", default={"unsigned": "allow"}))
    assert not require_trust(Bundle.open([out]), nobody).trusted
    (out / "bundle.sig").unlink()
    assert not require_trust(Bundle.open([out]), asking).trusted
