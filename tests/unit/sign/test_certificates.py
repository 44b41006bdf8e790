"""Certificates that do not fit X.509: nobody's, and never in the way of those that do."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.sign.making import (
    CODE,
    Authority,
    asking_authority,
    certified,
    changed,
    manifest,
    said,
)
from waybill.errors import Unsigned
from waybill.sign import dsse
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
