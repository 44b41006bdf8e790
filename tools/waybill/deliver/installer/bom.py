"""What a release consists of, as CycloneDX: its files, its charts and the images that they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from waybill import digest as digests
from waybill.deliver.bom import OURS, chart_of, container, hashed, licensed, licenses_of, listing
from waybill.deliver.installer.release import Release
from waybill.digest import Digest

Contents = Mapping[str, tuple[Digest, int]]
"""Image -> digest and size in bytes, where they are known."""


def bom(release: Release, contents: Contents) -> bytes:
    """The same release has the same list."""
    digest = digests.of(release.archive)
    whole = {
        "type": "application",
        "bom-ref": "release",
        "name": f"waybill-{release.target.name}",
        "version": release.version,
        **licensed([OURS]),
        "hashes": hashed(digest),
    }
    charts = map(chart_of, release.charts)
    return listing(whole, [*_files(release), *charts, *_images(release, contents)], digest)


def _files(release: Release) -> Iterator[dict[str, Any]]:
    of_charts = {chart.file: licenses_of(chart) for chart in release.charts}
    for name, data in sorted(release.files.items()):
        yield {
            "type": "file",
            "bom-ref": f"file/{name}",
            "name": name,
            "hashes": hashed(digests.of(data)),
            **licensed(of_charts.get(name, [OURS])),
        }


def _images(release: Release, contents: Contents) -> Iterator[dict[str, Any]]:
    known = {place.name: place for place in release.images}
    for name, place in sorted(known.items()):
        digest, size = contents.get(name, (place.own.get("digest", ""), 0))
        yield container(name, place.whole, digest, size)
