"""Certificates of a customer's own CA: whether one may sign models, and when that is asked.

The chain is checked as X.509 asks (RFC 5280) by `cryptography`: signatures, CA flags, path lengths,
validity. On top of it: the key usage is digitalSignature, and where extended usages are named,
code signing is among them; so the certificate of a web server never signs a model. Revocation
lists are those of the policy: none is fetched, and none is too old.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

_LIST = re.compile("-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_DEPTH = 4
"""Certificates between the signer's and the CA's, at most."""
_MALFORMED = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
"""What reading raises where something does not fit X.509, some of it only when asked for."""
_RSA = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_ALGORITHMS = {
    *(SignatureAlgorithmOID.RSA_WITH_SHA256, SignatureAlgorithmOID.ECDSA_WITH_SHA256),
    *(SignatureAlgorithmOID.RSA_WITH_SHA384, SignatureAlgorithmOID.ECDSA_WITH_SHA384),
    *(SignatureAlgorithmOID.RSA_WITH_SHA512, SignatureAlgorithmOID.ECDSA_WITH_SHA512),
    SignatureAlgorithmOID.RSASSA_PSS,
}
"""These three are what `cryptography` accepts of CAs: told early, and not where models come in."""
_MAY_SIGN = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def parse(pem: str) -> tuple[x509.Certificate, ...]:
    """Of what it gives, names, extensions and keys can be read. Raises ValueError, in words for
    people."""
    try:
        found = tuple(x509.load_pem_x509_certificates(pem.encode()))
        for one in found:
            _ = one.subject, one.issuer, one.extensions, one.public_key()
    except _MALFORMED as error:
        raise ValueError("it is not a certificate in PEM, or a malformed one") from error
    return found


def parse_lists(pem: str) -> tuple[x509.CertificateRevocationList, ...]:
    """Raises ValueError, in words for people."""
    try:
        found = tuple(x509.load_pem_x509_crl(one.encode()) for one in _LIST.findall(pem))
        partial = any(map(_is_partial, found))
    except _MALFORMED as error:
        raise ValueError("it is not a revocation list in PEM") from error
    if not found:
        raise ValueError("it is not a revocation list in PEM")
    if partial:
        raise ValueError("it is a delta or an indirect revocation list: a full one is needed")
    return found


def _is_partial(one: x509.CertificateRevocationList) -> bool:
    values = [extension.value for extension in one.extensions]
    indirect = any(getattr(value, "indirect_crl", False) for value in values)
    return indirect or any(isinstance(value, x509.DeltaCRLIndicator) for value in values)


def pem(chain: Sequence[x509.Certificate]) -> bytes:
    """One after the other."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


def require_authorities(found: Sequence[x509.Certificate]) -> None:
    """Raises ValueError, in words for people, for a CA that `signing_key` would never accept."""
    for one in found:
        key = one.public_key()
        strong = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA
        known = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
        if not (strong or known):
            kinds = f"RSA of {_RSA} bits or more, or ECDSA over P-256, P-384 or P-521"
            raise ValueError(f"the key of the CA {subject(one)} is of another kind than {kinds}")


def require_signer(chain: Sequence[x509.Certificate]) -> None:
    """Raises ValueError, in words for people, where no policy would believe the first one."""
    if chain:
        _check_usage(chain[0])
    require_authorities(chain[1:])
    for one in chain:
        if one.signature_algorithm_oid not in _ALGORITHMS:
            why = "with another algorithm than RSA or ECDSA with SHA-256, SHA-384 or SHA-512"
            raise ValueError(f"{subject(one)} was signed by its CA {why}")


def subject(certificate: x509.Certificate) -> str:
    """As `openssl x509 -noout -subject -nameopt RFC2253` prints it (RFC 4514)."""
    return certificate.subject.rfc4514_string()


def signing_key(
    chain: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    at: datetime | None,
    lists: Sequence[x509.CertificateRevocationList] = (),
) -> CertificatePublicKeyTypes:
    """The key of the first certificate, which the authorities vouch for at the time `at`.

    None asks whether they did when it began. What was revoked counts at no time, as nobody knows
    when it signed. Raises ValueError, in words for people.
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
    for one in lists:
        _check_list(one, chain, authorities)
    return leaf.public_key()


def _check_list(
    told: x509.CertificateRevocationList,
    chain: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
) -> None:
    """Raises ValueError for a certificate that is in the list, or a list that another CA made."""
    issued = [one for one in chain if one.issuer == told.issuer]
    makers = [one for one in (*chain[1:], *authorities) if one.subject == told.issuer]
    if issued and not any(_has_made(one, told) for one in makers):
        name = told.issuer.rfc4514_string()
        raise ValueError(f"the revocation list of {name} was not signed by it")
    for one in issued:
        if entry := told.get_revoked_certificate_by_serial_number(one.serial_number):
            raise ValueError(f"{subject(one)} was revoked on {entry.revocation_date_utc:%Y-%m-%d}")


def _has_made(maker: x509.Certificate, told: x509.CertificateRevocationList) -> bool:
    try:
        return told.is_signature_valid(maker.public_key())  # type: ignore[arg-type]
    except _MALFORMED:
        # A key of a kind that signs nothing, of a certificate that stands beside the chain.
        return False


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
    extensions = leaf.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise ValueError("its certificate does not say what its key is for") from error
    if not usage.digital_signature:
        raise ValueError("its certificate is not for digital signatures")
    for extension in extensions:
        extended = isinstance(extension.value, x509.ExtendedKeyUsage)
        if extended and not _MAY_SIGN.intersection(extension.value):
            raise ValueError("its certificate is not for signing code")
