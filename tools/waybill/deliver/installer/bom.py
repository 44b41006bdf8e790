"""What a release consists of, as CycloneDX: its files, its charts and the images that they run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from waybill import __version__
from waybill import digest as digests
from waybill.deliver.installer.charts import Chart
from waybill.deliver.installer.release import Release
from waybill.deliver.installer.sources import document
from waybill.digest import Digest
from waybill.manifest import canonical
from waybill.sign.statements import SPDX

_SPEC = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_OURS = "Apache-2.0"

Contents = Mapping[str, tuple[Digest, int]]
"""Image -> digest and size in bytes, where they are known."""


def bom(release: Release, contents: Contents) -> bytes:
    """It names no time, so the same release has the same list."""
    archive = release.archive
    digest = digests.of(archive)
    whole = {
        "type": "application",
        "bom-ref": "release",
        "name": f"waybill-{release.target.name}",
        "version": release.version,
        "licenses": _licenses([_OURS]),
        "hashes": _hash(archive),
    }
    tool = {"type": "application", "name": "waybill", "version": __version__}
    return canonical(
        {
            "$schema": _SPEC,
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
            "version": 1,
            "metadata": {"tools": {"components": [tool]}, "component": whole},
            "components": [*_files(release), *_charts(release), *_images(release, contents)],
        }
    )


def _files(release: Release) -> Iterator[dict[str, Any]]:
    of_charts = {chart.file: licenses for chart, licenses in _licensed_charts(release)}
    for name, data in sorted(release.files.items()):
        yield {
            "type": "file",
            "bom-ref": f"file/{name}",
            "name": name,
            "hashes": _hash(data),
            **_licensed(of_charts.get(name, [_OURS])),
        }


def _charts(release: Release) -> Iterator[dict[str, Any]]:
    for chart, licenses in _licensed_charts(release):
        yield {
            "type": "application",
            "bom-ref": f"chart/{chart.name}",
            "name": chart.name,
            "version": chart.version,
            "hashes": _hash(chart.data),
            **_licensed(licenses),
        }


def _licensed_charts(release: Release) -> Iterator[tuple[Chart, list[str]]]:
    """The license that a chart of others names in an annotation; Helm has no place for it."""
    for number, chart in enumerate(release.charts):
        declared = (chart.facts.get("annotations") or {}).get("artifacthub.io/license")
        yield chart, [_OURS] if number < 2 else [str(declared)] if declared else []


def _images(release: Release, contents: Contents) -> Iterator[dict[str, Any]]:
    known = {place.name: place for place in release.images}
    for name, place in sorted(known.items()):
        path = f"{place.whole['registry']}/{place.whole['repository']}"
        digest, size = contents.get(name, (Digest(place.own.get("digest", "")), 0))
        hashes = [{"alg": "SHA-256", "content": digests.hex_of(digest)}] if digest else []
        properties = [{"name": "waybill:size", "value": str(size)}] if size else []
        yield {
            "type": "container",
            "bom-ref": f"image/{name}",
            "name": path,
            "version": place.whole["tag"],
            "purl": _purl(path, place.whole["tag"], digest),
            **_licensed(document("licenses").get(place.whole["repository"], [])),
            **({"hashes": hashes} if hashes else {}),
            **({"properties": properties} if properties else {}),
        }


def _purl(path: str, tag: str, digest: str) -> str:
    version = f"@{quote(digest, safe='')}" if digest else ""
    return f"pkg:oci/{path.rpartition('/')[2]}{version}?repository_url={path}&tag={tag}"


def _licensed(names: list[str]) -> dict[str, Any]:
    return {"licenses": _licenses(names)} if names else {}


def _licenses(names: list[str]) -> list[dict[str, Any]]:
    known = ((name, SPDX.get(name.lower())) for name in names)
    return [{"license": {"id": spdx} if spdx else {"name": name}} for name, spdx in known]


def _hash(data: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digests.hex_of(digests.of(data))}]
