"""The images of a bundle: whether it has any, whether they may come in, and how to read them.

And the files beside them, as the chart.
"""

from __future__ import annotations

from dataclasses import replace

from waybill import digest as digests
from waybill.bundle.format import INDEX
from waybill.bundle.media import Bundle
from waybill.bundle.stack import Stack
from waybill.errors import BadFile, NoImages
from waybill.manifest import File
from waybill.sign import trust
from waybill.sign.trust import Policy

_SMALL = 100_000_000
"""Bytes of a file that is read as a whole; no chart is as large."""


def stack_of(bundle: Bundle) -> Stack:
    """Raises NoImages."""
    if bundle.index.stack is None:
        raise NoImages(where=", ".join(map(str, bundle.folders)))
    return bundle.index.stack


def small_file(bundle: Bundle, file: File) -> bytes:
    """All of it, checked. Raises PartMissing, PartTruncated, ForeignPart, Corrupt, BadFile."""
    if file.size > _SMALL:
        raise BadFile(path=file.path, why=f"no such file is as large ({file.size:,} bytes)")
    content = bundle.content(file.digest)
    bundle.require(content.parts)
    with content.open(0, file.size) as stream:
        return b"".join(digests.verified(stream, file.digest, file.size, content.name))


def require_trust(bundle: Bundle, policy: Policy | None, beside: str = "") -> Bundle:
    """The bundle, which is `trusted` if a policy asks for its signature, and it is good.

    A rule of the policy applies to an image as to a repo, by its name without the tag, and to
    each file whose path begins with `beside`, if that is not empty, by its path.
    Raises NoImages, Unsigned, UntrustedSignature.
    """
    names = [one.name.rpartition(":")[0] for one in stack_of(bundle).images]
    if policy is None:
        return bundle
    seals = bundle.seals()
    signed = [(bundle.index.data, seal) for seal in seals]
    policy.judge([*names, *_files(bundle, beside)], INDEX, signed, trust.now())
    return replace(bundle, trusted=bool(seals) and all(policy.asks(name) for name in names))


def unasked(bundle: Bundle, policy: Policy | None, beside: str) -> list[str]:
    """The files whose paths begin with `beside` that a policy lets in whoever has signed them."""
    return [path for path in _files(bundle, beside) if policy and not policy.asks(path)]


def _files(bundle: Bundle, beside: str) -> list[str]:
    paths = [file.path for file in stack_of(bundle).files]
    return [path for path in paths if beside and path.startswith(beside)]
