"""Whether a bundle comes from whom the store's environment trusts, before its first byte."""

from __future__ import annotations

from waybill.bundle.format import INDEX
from waybill.bundle.media import Bundle
from waybill.sign import trust
from waybill.sign.trust import Policy


def require_trust(bundle: Bundle, policy: Policy | None) -> None:
    """Raises Unsigned, UntrustedSignature; without a policy, everything is trusted.

    A signature of the index counts where there is one: it is the only one that covers the names
    of repos, and what a bundle leaves out.
    """
    if policy is None:
        return
    revisions, at = bundle.index.revisions, trust.now()
    for one in revisions:
        policy.check(str(one.repo), one.manifest.descriptor.digest, one.signatures, at)
    if seals := bundle.seals():
        signed = [(bundle.index.data, seal) for seal in seals]
        policy.judge([str(one.repo) for one in revisions], INDEX, signed, at)
