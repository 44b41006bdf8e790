"""DSSE envelopes (version 1) of in-toto statements: a payload and the signatures of it.

    {"payloadType": "application/vnd.in-toto+json", "payload": base64 of the statement,
     "signatures": [{"keyid": hex, "sig": base64, "cert": PEM, where there is one}]}

What is signed is not the payload but its encoding with its type (PAE), so that a signature of one
kind of document is never good for another. A key id is a hint and decides nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from waybill.errors import BadFile
from waybill.manifest import STATEMENT_TYPE, canonical, from_json
from waybill.sign import certificates
from waybill.sign.keys import Signer

ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
LIMIT = 16_000_000
"""Bytes of an envelope that is still read."""
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def encoded(payload: bytes, payload_type: str = STATEMENT_TYPE) -> bytes:
    """The pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class Signature:
    """One signature; `chain` are the certificates from the signer's own up."""

    key_id: str
    value: bytes
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Signature:
        chain = certificates.parse(value["cert"]) if "cert" in value else ()
        return cls(str(value.get("keyid", "")), _decoded(value["sig"]), chain)


@dataclass(frozen=True)
class Envelope:
    """A statement and its signatures, which nobody has looked at yet."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that the signatures are of."""
        return encoded(self.payload)

    @classmethod
    def parse(cls, data: bytes, where: str) -> Envelope:
        """Raises BadFile for what is no envelope of an in-toto statement."""
        try:
            value = from_json(data)
            if value["payloadType"] != STATEMENT_TYPE:
                raise ValueError(f"it holds {value['payloadType']}")
            signatures = tuple(Signature.from_json(one) for one in value["signatures"])
            payload = _decoded(value["payload"])
        except _MALFORMED as error:
            why = f"it is no envelope of a statement ({error!r})"
            raise BadFile(path=where, why=why) from error
        return cls(payload, signatures)


def sign(payload: bytes, signer: Signer) -> bytes:
    """The envelope of a statement, signed."""
    signature = {"keyid": signer.key_id, "sig": _text(signer.sign(encoded(payload)))}
    if signer.chain:
        signature["cert"] = signer.chain_pem.decode()
    return canonical(
        {"payloadType": STATEMENT_TYPE, "payload": _text(payload), "signatures": [signature]}
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
