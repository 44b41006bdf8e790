"""Whether a bundle comes from whom the store's environment trusts, before its first byte."""

from __future__ import annotations

from dataclasses import replace

from waybill.bundle.format import INDEX
from waybill.bundle.media import Bundle
from waybill.sign import trust
from waybill.sign.trust import Policy


def require_trust(bundle: Bundle, policy: Policy | None) -> Bundle:
    """The bundle, which is `trusted` if its index is signed by whom the policy asks for.

    A signature of the index counts where there is one: it is the only one that covers the names
    of repos, and what a bundle leaves out. Without a policy, everything is let in.
    Raises Unsigned, UntrustedSignature.
    """
    if policy is None:
        return bundle
    revisions, at = bundle.index.revisions, trust.now()
    for one in revisions:
        policy.check(str(one.repo), one.manifest.descriptor.digest, one.signatures, at)
    if seals := bundle.seals():
        signed = [(bundle.index.data, seal) for seal in seals]
        policy.judge([str(one.repo) for one in revisions], INDEX, signed, at)
    asked = all(policy.asks(str(one.repo)) for one in revisions)
    return replace(bundle, trusted=bool(seals) and asked)
