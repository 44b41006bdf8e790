"""Certificates of every kind: malformed ones, and those of keys that count nowhere."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.sign.making import (
    CODE,
    WEB_SERVER,
    Authority,
    asking_authority,
    certificate_pem,
    certified,
    changed,
    ed25519_key,
    manifest,
    p256_key,
    said,
    write_key,
)
from waybill.errors import BadFile, BadKey, Unsigned
from waybill.sign import dsse
from waybill.sign.keys import Signer
from waybill.sign.trust import Policy

OURS = manifest()
MALFORMED = {
    "a name that is no text": (b"model release", b"model\xffrelease"),
    "an extension that is there twice": (b"\x55\x1d\x25", b"\x55\x1d\x0f"),
    "a version that there is none of": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"),
}


def malformed(envelope: bytes, der: bytes, what: str) -> bytes:
    """The envelope of whoever has this certificate, with another that is wrong."""
    wrong = der.replace(*MALFORMED[what])
    assert wrong != der
    body = b64encode(wrong).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    (signature,) = json.loads(envelope)["signatures"]
    return changed(envelope, signatures=[{**signature, "cert": pem}])


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_certificate_is_nobodys_and_the_next_one_is_looked_at(
    what: str, tmp_path: Path
) -> None:
    authority = Authority()
    made = certified(authority, extended=CODE)
    policy = Policy.load(asking_authority(tmp_path / "trust.yaml", authority))
    good = dsse.sign(said(OURS), made)
    bad = malformed(good, made.chain[0].public_bytes(Encoding.DER), what)
    policy.check("acme/demo", OURS.descriptor.digest, [bad, good], None)
    with pytest.raises(Unsigned):
        policy.check("acme/demo", OURS.descriptor.digest, [bad], None)


def test_a_certificate_beside_the_chain_is_not_in_the_way_of_a_list(tmp_path: Path) -> None:
    authority = Authority()
    made, beside = certified(authority), X25519PrivateKey.generate()
    chain = (*made.chain, authority.issue(beside, "Test CA"))
    path = asking_authority(tmp_path / "trust.yaml", authority, revocationList=authority.revoke())
    good = dsse.sign(said(OURS), Signer(made.private, chain))
    Policy.load(path).check("acme/demo", OURS.descriptor.digest, [good], None)


OTHER_KINDS: dict[str, Callable[[], Any]] = {
    "Ed25519": ed25519_key,
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "weak RSA": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - as it is meant
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_ca_whose_key_counts_nowhere_is_refused_before_anything_is_signed(
    kind: str, tmp_path: Path
) -> None:
    authority = Authority(key=OTHER_KINDS[kind]())
    with pytest.raises(BadFile, match=r"keys\.company: the key of the CA CN=Test CA is"):
        Policy.load(asking_authority(tmp_path / "trust.yaml", authority))
    key, chain = p256_key(), tmp_path / "chain.pem"
    path = write_key(tmp_path / "key.pem", key)
    chain.write_text(certificate_pem(authority.issue(key, "me"), authority.certificate))
    with pytest.raises(BadKey, match=f"{chain} cannot be used to sign: the key of the CA CN=Test"):
        Signer.load(path, chain, {})


def test_a_certificate_that_may_not_sign_is_refused_with_its_key(tmp_path: Path) -> None:
    key, chain = p256_key(), tmp_path / "chain.pem"
    path = write_key(tmp_path / "key.pem", key)
    for made, told in (
        (Authority().issue(key, "me", extended=WEB_SERVER), "is not for signing code"),
        (Authority(key=ed25519_key()).issue(key, "me"), "CN=me was signed by its CA with another"),
    ):
        chain.write_text(certificate_pem(made))
        with pytest.raises(BadKey, match=told):
            Signer.load(path, chain, {})


@pytest.mark.parametrize("kind", ["384", "RSA"])
def test_every_kind_in_the_guide_is_believed(kind: str, tmp_path: Path) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    of_ca = rsa_key if kind == "RSA" else ec.generate_private_key(ec.SECP384R1())
    authority, key = Authority(key=of_ca), ed25519_key()
    chain = tmp_path / "chain.pem"
    chain.write_text(certificate_pem(authority.issue(key, "model release")))
    made = Signer.load(write_key(tmp_path / "key.pem", key), chain, {})
    policy = Policy.load(asking_authority(tmp_path / "trust.yaml", authority))
    policy.check("acme/demo", OURS.descriptor.digest, [dsse.sign(said(OURS), made)], None)
