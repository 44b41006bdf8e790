"""Failures of signatures: who says what a model is, and whether they are believed.

For Hugging Face clients a model that is refused is gated: they stop at once and show why, where
any other 403 would be a bad connection to them.
"""

from __future__ import annotations

from waybill.errors.base import WaybillError


class BadKey(WaybillError):
    """A private key, or the certificate that belongs to it, cannot be used to sign."""

    sentence = "{path} cannot be used to sign: {why}"
    hint = "use a PEM file with an Ed25519 or ECDSA P-256 key, and the certificate made for it"
    exit_code = 2


class Unsigned(WaybillError):
    """The trust policy asks for a signature, and there is none."""

    sentence = "{what} is not signed, and {policy} asks for a signature by {trusted}"
    hint = "have it signed: --key of waybill pack or images save, or waybill sign on its store"
    exit_code = 3
    status = 403
    hf_code = "GatedRepo"


class TooMuchSaid(WaybillError):
    """More is said of a revision than is read, so nobody can tell what the rest says."""

    sentence = "more than {limit} statements are kept about {what}, and no more are read"
    hint = "find out who writes them; what is packed anew with other files is another revision"
    exit_code = 3
    status = 403
    hf_code = "GatedRepo"


class UntrustedSignature(WaybillError):
    """There are signatures, and none by whom the trust policy names."""

    sentence = "{what} has no signature that counts: {seen}; {policy} asks for one by {trusted}"
    hint = "find out who made it, then have it signed by a key that is trusted, or add the key"
    exit_code = 3
    status = 403
    hf_code = "GatedRepo"
