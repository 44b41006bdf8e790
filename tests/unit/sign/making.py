"""Keys, certificates, policies and envelopes, made anew for each run."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from waybill import digest as digests
from waybill.manifest import File, Manifest, provenance
from waybill.sign import keys
from waybill.sign.keys import Private, Signer

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)


def ed25519_key() -> Private:
    return ed25519.Ed25519PrivateKey.generate()


def p256_key() -> Private:
    return ec.generate_private_key(ec.SECP256R1())


KINDS = {"ed25519": ed25519_key, "p256": p256_key}


def write_key(path: Path, key: Any, passphrase: bytes | None = None) -> Path:
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    path.chmod(0o600)
    return path


def public_pem(key: Private) -> str:
    return keys.pem(key.public_key()).decode()


def certificate_pem(*chain: x509.Certificate) -> str:
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain).decode()


class Authority:
    """A CA that signs what it is told to."""

    def __init__(
        self, name: str = "Test CA", above: "Authority | None" = None, key: Any = None
    ) -> None:
        self.key = key or p256_key()
        self.certificate = (above or self).issue(self.key, name, ca=True, above=above)

    def issue(
        self,
        key: Any,
        name: str,
        *,
        ca: bool = False,
        above: "Authority | None" = None,
        since: datetime = NOW - DAY,
        until: datetime = NOW + 30 * DAY,
        signing: bool = True,
        extended: x509.ObjectIdentifier | None = None,
    ) -> x509.Certificate:
        """A certificate of `key`; with `ca`, of a CA: its own, or one below `above`."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        rooted = ca and above is None
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if rooted else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(_usage(signing, ca), critical=True)
        )
        if extended:
            made = made.add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
        return made.sign(self.key, self._hash)

    def revoke(self, *certificates: x509.Certificate, delta: bool = False) -> str:
        """A revocation list of these, in PEM, which should have been replaced long since."""
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW - 9 * DAY)
            .next_update(NOW - 8 * DAY)
        )
        for one in certificates:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number)
            made = made.add_revoked_certificate(entry.revocation_date(NOW - 9 * DAY).build())
        if delta:
            made = made.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        return made.sign(self.key, self._hash).public_bytes(Encoding.PEM).decode()

    @property
    def _hash(self) -> hashes.SHA256 | None:
        return None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _usage(signing: bool, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signing,
        content_commitment=False,
        key_encipherment=not signing,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


WEB_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CODE = ExtendedKeyUsageOID.CODE_SIGNING


def signer(kind: str = "ed25519") -> Signer:
    return Signer(KINDS[kind]())


def certified(authority: Authority, name: str = "model release", **more: Any) -> Signer:
    key = p256_key()
    return Signer(key, (authority.issue(key, name, **more),))


def manifest(text: bytes = b"weights") -> Manifest:
    return Manifest.of(
        [
            File("LICENSE", digests.of(b"free"), 4),
            File("model.safetensors", digests.of(text), len(text)),
        ]
    )


def said(of: Manifest) -> bytes:
    return provenance(of, {"source": "here"}, "a test")


def policy_file(path: Path, **policy: Any) -> Path:
    """A trust policy; JSON is YAML, and its strings hold line breaks."""
    text = "\n".join(_yaml(policy, 0))
    path.write_text(text + "\n")
    return path


def asking(path: Path, *signers: Signer) -> Path:
    """A policy file that asks for a signature by one of these, whatever the repo."""
    known = {f"k{at}": {"publicKey": public_pem(one.private)} for at, one in enumerate(signers)}
    return policy_file(path, keys=known, default={"signedBy": list(known), "unsigned": "refuse"})


def asking_authority(path: Path, authority: Authority, **more: str) -> Path:
    """The same of a signature by whom the authority vouches for; `more` is said of it, too."""
    pem = certificate_pem(authority.certificate)
    known = {"company": {"certificateAuthority": pem, "subjects": ["CN=model release"], **more}}
    return policy_file(path, keys=known, default={"signedBy": ["company"], "unsigned": "refuse"})


def _yaml(value: Any, depth: int) -> list[str]:
    lines = []
    for key, one in value.items():
        at = "  " * depth + json.dumps(key) + ":"
        if isinstance(one, dict):
            lines += [at, *_yaml(one, depth + 1)] if one else [at + " {}"]
        elif isinstance(one, str) and "\n" in one:
            lines += [at + " |", *("  " * (depth + 1) + line for line in one.splitlines())]
        else:
            lines.append(f"{at} {json.dumps(one)}")
    return lines


def changed(envelope: bytes, **facts: Any) -> bytes:
    """An envelope, other in what is named."""
    return json.dumps({**json.loads(envelope), **facts}).encode()
