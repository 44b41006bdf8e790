"""What a store had when it was listed, so that what is there need not be asked for one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from waybill.manifest import CONFIG_TYPE, Descriptor, Manifest
from waybill.store import layout
from waybill.store.layout import RepoId
from waybill.store.store import Store


@dataclass(frozen=True)
class Listing:
    """Key -> size."""

    sizes: Mapping[str, int]

    @classmethod
    def of(cls, store: Store, repo: RepoId | None = None) -> Listing:
        """All blobs, and what is about all repos or the one."""
        # What is named first: so its blobs, which came before it, are among those.
        places = (layout.repo(repo) if repo else layout.REPOS, layout.BLOBS)
        return cls({stat.key: stat.size for each in places for stat in store.backend.list(each)})

    def has(self, blob: Descriptor) -> bool:
        return self.sizes.get(layout.blob(blob.digest)) == blob.size

    def named(
        self, repo: RepoId, manifest: Manifest, statements: Sequence[Descriptor]
    ) -> Iterator[Descriptor]:
        """Those of its contents that were looked at, once, before anything named them."""
        if layout.revision(repo, manifest.commit) in self.sizes:
            yield from _contents(manifest)
        for blob in statements:
            if layout.referrer(repo, manifest.commit, blob.digest) in self.sizes:
                yield blob

    def is_whole(
        self,
        repo: RepoId,
        manifest: Manifest,
        statements: Sequence[Descriptor],
        upstreams: Sequence[str],
    ) -> bool:
        """Whether all this was there; the aliases may be those of another revision."""
        commit = manifest.commit
        keys = [
            layout.revision(repo, commit),
            *(layout.referrer(repo, commit, blob.digest) for blob in statements),
            *(layout.alias(repo, upstream) for upstream in upstreams),
        ]
        blobs = [manifest.descriptor, *_contents(manifest), *statements]
        return self.sizes.keys() >= set(keys) and all(map(self.has, blobs))


def _contents(manifest: Manifest) -> Iterator[Descriptor]:
    yield Descriptor.of(manifest.config, CONFIG_TYPE)
    yield from manifest.blobs.values()
