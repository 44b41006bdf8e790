"""Failures of signing in to the hub."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class NotSignedIn(WaybillError):
    """The hub asks for a token, and there is none, or not one that it accepts."""

    sentence = "not signed in: {why}"
    hint = "get a token for this hub and give it to the client: HF_TOKEN, or HF_TOKEN_PATH"
    exit_code = 1
    status = 401


class IssuerUnreachable(WaybillError):
    """The keys of a token's issuer cannot be fetched, so nobody can say whether it is good."""

    sentence = "the keys of the issuer {issuer} cannot be fetched: {why}"
    hint = "check that the issuer runs, the network, and caBundle in the issuers file"
    exit_code = 7
    status = 503
