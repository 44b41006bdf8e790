"""Certificates of a customer's own CA: whether one may sign models, and when that is asked.

The chain is checked as X.509 asks (RFC 5280) by `cryptography`: signatures, CA flags, path lengths,
validity. On top of it: the key usage is digitalSignature, and where extended usages are named,
code signing is among them; so the certificate of a web server never signs a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from waybill.sign import keys
from waybill.sign.keys import Public

_DEPTH = 4
"""Certificates between the signer's and the CA's, at most."""
_MAY_SIGN = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def parse(pem: str) -> tuple[x509.Certificate, ...]:
    """Raises ValueError, in words for people."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem.encode()))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is not a certificate in PEM") from error


def pem(chain: Sequence[x509.Certificate]) -> bytes:
    """One after the other."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


def subject(certificate: x509.Certificate) -> str:
    """As `openssl x509 -noout -subject -nameopt RFC2253` prints it (RFC 4514)."""
    return certificate.subject.rfc4514_string()


def signing_key(
    chain: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    at: datetime | None,
) -> Public:
    """The key of the first certificate, which the authorities vouch for at the time `at`.

    None asks whether they did when it began. Raises ValueError, in words for people.
    """
    leaf = chain[0]
    _check_usage(leaf)
    verifier = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(at or leaf.not_valid_before_utc)
        .max_chain_depth(_DEPTH)
        .extension_policies(ca_policy=_ca_policy(), ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    if at and not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        since, until = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        raise ValueError(f"its certificate is good from {since:%Y-%m-%d} to {until:%Y-%m-%d}")
    try:
        verifier.verify(leaf, list(chain[1:]))
    except VerificationError as error:
        raise ValueError(f"its certificate does not lead to the CA ({error})") from error
    return keys.usable(leaf.public_key())


def _ca_policy() -> ExtensionPolicy:
    """CAs have to say that they are, and that they sign; what the web asks beyond it, we do not."""
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    )


def _signs_certificates(_: object, __: object, usage: x509.KeyUsage | None) -> None:
    if usage and not usage.key_cert_sign:
        raise ValueError("the key of a CA is not for signing certificates")


def _check_usage(leaf: x509.Certificate) -> None:
    try:
        extensions = leaf.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise ValueError("its certificate does not say what its key is for") from error
    if not usage.digital_signature:
        raise ValueError("its certificate is not for digital signatures")
    for extension in extensions:
        extended = isinstance(extension.value, x509.ExtendedKeyUsage)
        if extended and not _MAY_SIGN.intersection(extension.value):
            raise ValueError("its certificate is not for signing code")
