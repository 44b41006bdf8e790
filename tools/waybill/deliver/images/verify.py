"""Whether a registry has what a bundle brought, or what a release runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waybill.deliver.images.push import QUESTIONS_AT_ONCE, Repositories, Target
from waybill.digest import Digest
from waybill.source.reach import Reach
from waybill.source.reference import Place, Reference
from waybill.store.work import parallel


@dataclass(frozen=True)
class Finding:
    """`wrong`: a sentence; "" where all is as it should be."""

    name: str
    digest: Digest | None
    wrong: str = ""


def whole(targets: Sequence[Target], place: Place, reach: Reach) -> list[Finding]:
    """Each image by its digest, with all its blobs. Raises RegistryUnreachable, -Refused."""
    repositories = Repositories(place, reach)

    def look(one: Target) -> Finding:
        repository = repositories[one.repository]
        found = repository.digest_of(one.name.tag)
        if found != one.digest:
            return Finding(str(one.name), found, _other(found, one.digest))
        gone = [blob.digest for blob in one.image.blobs if not repository.has(blob.digest)]
        wrong = f"it lacks {len(gone)} of its blobs, {gone[0]} first" if gone else ""
        return Finding(str(one.name), found, wrong)

    return parallel(look, targets, QUESTIONS_AT_ONCE)


def named(references: Sequence[Reference], place: Place, reach: Reach) -> list[Finding]:
    """Each name of a list, with the digest that it asks for, if it does."""
    repositories = Repositories(place, reach)

    def look(one: Reference) -> Finding:
        repository = repositories[place.repository(one)]
        found = repository.digest_of(one.digest or one.tag)
        wanted = Digest(one.digest) if one.digest else found
        wrong = "" if found and found == wanted else _other(found, wanted)
        return Finding(str(one.at(str(place))), found, wrong)

    return parallel(look, references, QUESTIONS_AT_ONCE)


def _other(found: Digest | None, wanted: Digest | None) -> str:
    return f"it is {found} there, and not {wanted}" if found else "it is not there"
