"""Images from a bundle's parts into a registry: what it lacks, streamed, checked, resumable.

Blobs come before the manifests that name them, so that a name that is there is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from waybill.bundle.stack import Stack
from waybill.deliver.images.blobs import Blobs
from waybill.deliver.images.parts import stack_of
from waybill.digest import Digest
from waybill.errors import Corrupt, ImagesNotWhole, SameName
from waybill.manifest import Descriptor
from waybill.source.images import Image
from waybill.source.reach import Reach
from waybill.source.reference import Place, Reference
from waybill.source.uploads import Uploads
from waybill.store.base import Advance, no_progress
from waybill.store.work import Stoppable, parallel

_BLOBS_AT_ONCE = 4
QUESTIONS_AT_ONCE = 8
_STEP = "push the earlier bundle first, or give it, too (--base DIR)"


@dataclass(frozen=True)
class Target:
    """An image, and what it is called where it goes."""

    image: Image
    repository: str
    name: Reference

    @property
    def digest(self) -> Digest:
        return self.image.descriptor.digest


def targets(stack: Stack, place: Place) -> list[Target]:
    """Under the names that `global.imageRegistry` makes of the chart's. Raises SameName."""
    found: dict[str, Target] = {}
    for image in stack.images:
        reference = Reference.parse(image.name)
        name = reference.at(str(place))
        one = Target(image, place.repository(reference), name)
        other = found.setdefault(name.tagged, one)
        if other.digest != one.digest:
            raise SameName(first=other.image.name, second=image.name, name=name.tagged)
    return list(found.values())


@dataclass(frozen=True)
class Repositories:
    """The repositories of one registry, each asked over its own connection and sign-in."""

    place: Place
    reach: Reach
    _known: dict[str, Uploads] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Uploads:
        if name not in self._known:
            self._known[name] = Uploads(self.place, name, self.reach)
        return self._known[name]


@dataclass(frozen=True)
class Pushing:
    """What the registry lacks: per blob the repositories that have it, and those that do not."""

    blobs: Blobs
    repositories: Repositories
    targets: Sequence[Target]
    tagged: Mapping[str, Digest | None]
    """What each name leads to already."""
    having: Mapping[Digest, set[str]]
    lacking: Mapping[Digest, list[str]]

    @classmethod
    def plan(cls, blobs: Blobs, place: Place, reach: Reach) -> Pushing:
        """Raises NoImages, SameName, PartMissing, ImagesNotWhole, RegistryUnreachable, -Refused."""
        wanted = targets(stack_of(blobs.bundle), place)
        repositories = Repositories(place, reach)

        def named(one: Target) -> Digest | None:
            return repositories[one.repository].digest_of(one.name.tag)

        def there(question: tuple[str, Digest]) -> bool:
            return repositories[question[0]].has(question[1])

        tags = parallel(named, wanted, QUESTIONS_AT_ONCE)
        asked = list({(t.repository, b.digest): None for t in wanted for b in t.image.blobs})
        answers = parallel(there, asked, QUESTIONS_AT_ONCE)
        having: dict[Digest, set[str]] = {}
        lacking: dict[Digest, list[str]] = {}
        for (repository, digest), is_there in zip(asked, answers, strict=True):
            if is_there:
                having.setdefault(digest, set()).add(repository)
            else:
                lacking.setdefault(digest, []).append(repository)
        names = {str(one.name): tag for one, tag in zip(wanted, tags, strict=True)}
        pushing = cls(blobs, repositories, wanted, names, having, lacking)
        pushing._require()
        return pushing

    def _require(self) -> None:
        for one in self.targets:
            for blob in one.image.blobs:
                if blob.digest not in self.having and not self.blobs.holder(blob):
                    raise self._not_whole(blob)
        self.blobs.require(self.missing)

    def _not_whole(self, blob: Descriptor) -> ImagesNotWhole:
        image = next(one.image.name for one in self.targets if blob in one.image.blobs)
        return self.blobs.not_whole(image, blob, str(self.repositories.place), _STEP)

    @cached_property
    def missing(self) -> list[Descriptor]:
        """The blobs that are in none of its repositories here, in the order of the parts."""
        blobs = {blob.digest: blob for one in self.targets for blob in one.image.blobs}
        absent = [blobs[digest] for digest in self.lacking if not self.having.get(digest)]
        return self.blobs.by_part(absent)

    @property
    def size(self) -> int:
        """Bytes to send, where the registry takes over what it has."""
        return sum(blob.size for blob in self.missing)

    @property
    def new(self) -> list[Target]:
        """Those whose names do not lead to them yet."""
        return [one for one in self.targets if self.tagged[str(one.name)] != one.digest]

    def run(self, advance: Advance = no_progress) -> None:
        """Raises Corrupt, PartMissing, RegistryUnreachable, RegistryRefused; a rerun goes on."""
        stoppable = Stoppable(advance)
        blobs = {blob.digest: blob for one in self.targets for blob in one.image.blobs}
        known = {blob.digest for blob in self.missing}
        rest = [blobs[digest] for digest in self.lacking if digest not in known]

        def send(blob: Descriptor) -> None:
            self._send(blob, stoppable)

        # What the registry has goes first: it may not be willing to share it, and the part with it
        # be on another medium, which is better known before hours of sending.
        parallel(send, [*rest, *self.missing], _BLOBS_AT_ONCE, stoppable.stop)
        for one in self.new:
            manifest = one.image.descriptor
            repository = self.repositories[one.repository]
            repository.put_manifest(one.image.manifest, manifest.media_type, one.name.tag)

    def _send(self, blob: Descriptor, advance: Advance) -> None:
        """To each repository that lacks it, once over the wire where the registry is willing."""
        others = sorted(self.having.get(blob.digest, ()))
        for name in self.lacking[blob.digest]:
            repository = self.repositories[name]
            if not (others and repository.take_over(blob.digest, others[0])):
                self._upload(repository, blob, advance)
            others.append(name)

    def _upload(self, repository: Uploads, blob: Descriptor, advance: Advance) -> None:
        if not self.blobs.holder(blob):
            raise self._not_whole(blob)
        content = self.blobs.content(blob)
        try:
            repository.upload(blob, content, advance)
        except Corrupt as error:
            raise Corrupt(**{**error.facts, "what": content.name}) from error
