"""What histories name: records, and the plans and the evidence that each step is told with.

A history may have come across a gap, and then what its steps name may be on the other side alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BlobMissing
from waybill.manifest import Descriptor
from waybill.store import layout
from waybill.store.base import BytesContent
from waybill.store.lease import settle
from waybill.store.record import Head, named
from waybill.store.store import Store


def bring_steps(source: Store, target: Store, heads: Sequence[Head]) -> None:
    """Steps for a ref that is to be adopted afterwards, the oldest last. Raises BeingPruned."""
    found = {
        digest: data
        for each in reversed(heads)
        for digest in named(each)
        if (data := _read(source, digest)) is not None
    }
    bring_records(target, list(found.values()))


def bring_records(target: Store, records: Sequence[bytes]) -> None:
    """Also those that are there: no ref names them yet, so they must be young.

    Raises BeingPruned.
    """
    settle(
        target,
        lambda: _write(target, records),
        [layout.blob(digests.of(data)) for data in records],
    )


def mend(source: Store, target: Store, heads: Iterable[Head], sizes: Mapping[str, int]) -> None:
    """Bring what the target has lost, by the sizes that it lists, of a history that its ref has."""
    for each in heads:
        for digest in named(each):
            size = sizes.get(layout.blob(digest))
            if size is None or (digest == each.digest and size != len(source.read(digest))):
                _write(target, [data] if (data := _read(source, digest)) is not None else [])


def _read(store: Store, digest: Digest) -> bytes | None:
    with suppress(BlobMissing):
        return store.read(digest)
    return None


def _write(store: Store, contents: Iterable[bytes]) -> None:
    for data in contents:
        store.upload(Descriptor.of(data, ""), BytesContent(data), replace=True)
