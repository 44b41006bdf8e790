"""Keys: Ed25519 and ECDSA over P-256, in PEM.

A signature is what openssl makes of the same bytes: pure Ed25519, or ECDSA of their SHA-256 in
DER, with the nonce of RFC 6979, so that signing the same bytes twice gives the same signature.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from waybill.errors import BadKey
from waybill.sign import certificates

Public: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

PASSPHRASE = "WAYBILL_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
"""The environment variable; with `_FILE` behind it, the file that holds the passphrase."""
_MALFORMED = (ValueError, TypeError, UnsupportedAlgorithm)
_KINDS = "it is not an Ed25519 or ECDSA P-256 key"
_ECDSA = ec.ECDSA(hashes.SHA256())


def without_passphrase(environ: Mapping[str, str]) -> dict[str, str]:
    """For commands of other people, which have no business with our key."""
    secret = (PASSPHRASE, f"{PASSPHRASE}_FILE")
    return {name: value for name, value in environ.items() if name not in secret}


def key_id(public: Public) -> str:
    """The SHA-256 of the key's SubjectPublicKeyInfo, as 64 hex digits."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def pem(public: Public) -> bytes:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def is_right(public: Public, signature: bytes, data: bytes) -> bool:
    """Whether the signature is this key's of these bytes."""
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, data)
        else:
            public.verify(signature, data, _ECDSA)
    except InvalidSignature:
        return False
    return True


def usable(key: object) -> Public:
    """Raises ValueError for a key of another kind."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError(_KINDS)


def parse_public(text: str) -> Public:
    """Raises ValueError, in words for people, for what is no public key of ours in PEM."""
    try:
        found = load_pem_public_key(text.encode())
    except _MALFORMED as error:
        raise ValueError("it is not a public key in PEM") from error
    return usable(found)


@dataclass(frozen=True)
class Signer:
    """A private key, and the certificates from its own up to the CA's, where it has any.

    `notes` are what a person should know about how the key is kept.
    """

    private: Private
    chain: tuple[x509.Certificate, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def public(self) -> Public:
        return self.private.public_key()

    @property
    def key_id(self) -> str:
        return key_id(self.public)

    @property
    def chain_pem(self) -> bytes:
        """The certificates, one after the other; empty where there are none."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    def sign(self, data: bytes) -> bytes:
        """The same bytes give the same signature."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    @classmethod
    def load(
        cls, path: Path, certificate: Path | None = None, environ: Mapping[str, str] = os.environ
    ) -> Signer:
        """Raises BadKey."""
        private = _private(path, _passphrase(environ))
        chain = _chain(certificate) if certificate else ()
        if chain and chain[0].public_key() != private.public_key():
            raise BadKey(path=path, why=f"the first certificate in {certificate} is not its own")
        try:
            certificates.require_signer(chain)
        except ValueError as error:
            raise BadKey(path=certificate, why=str(error)) from error
        mode = path.stat().st_mode
        notes = (f"{path} can be read by others: chmod 600 {path}",)
        return cls(private, chain, notes if mode & (stat.S_IRWXG | stat.S_IRWXO) else ())


def _private(path: Path, passphrase: bytes | None) -> Private:
    data = _read(path)
    # A passphrase that is not needed is no mistake: it is meant for another key.
    locked = b"ENCRYPTED" in data
    if locked and passphrase is None:
        raise BadKey(path=path, why=f"it needs a passphrase, in {PASSPHRASE} or {PASSPHRASE}_FILE")
    try:
        found = load_pem_private_key(data, passphrase if locked else None)
        usable(found.public_key())
    except _MALFORMED as error:
        wrong = "the passphrase is not the right one, or " if locked else ""
        raise BadKey(path=path, why=f"{wrong}{_KINDS} in PEM") from error
    return found  # type: ignore[return-value] # its public half was looked at


def _chain(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return certificates.parse(_read(path).decode("ascii", "replace"))
    except ValueError as error:
        raise BadKey(path=path, why=str(error)) from error


def _passphrase(environ: Mapping[str, str]) -> bytes | None:
    if given := environ.get(PASSPHRASE):
        return given.encode()
    if named := environ.get(f"{PASSPHRASE}_FILE"):
        return _read(Path(named)).rstrip(b"\r\n")
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadKey(path=path, why=error.strerror or str(error)) from error
