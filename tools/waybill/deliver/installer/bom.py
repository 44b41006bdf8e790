"""What a release consists of, as CycloneDX: its files, its charts and the images that they run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from waybill import __version__
from waybill import digest as digests
from waybill.deliver.installer.charts import Chart
from waybill.deliver.installer.images import Place
from waybill.deliver.installer.release import Release
from waybill.manifest import canonical

_SPEC = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_OURS = "Apache-2.0"
_PROGRAMS = {
    ("keycloak", "postgresql"): "PostgreSQL",
    ("minio",): "AGPL-3.0-or-later",
}
"""Path in the values -> license of the program in the image; all others are under Apache-2.0."""


def bom(release: Release) -> bytes:
    """It names no time, so the same release has the same list."""
    archive = release.archive
    digest = digests.of(archive)
    whole = {
        "type": "application",
        "bom-ref": "release",
        "name": f"waybill-{release.target.name}",
        "version": release.version,
        "licenses": _license(_OURS),
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
            "components": [*_files(release.files), *_charts(release), *_images(release)],
        }
    )


def _files(files: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for name in sorted(files):
        hashes = _hash(files[name])
        yield {"type": "file", "bom-ref": f"file/{name}", "name": name, "hashes": hashes}


def _charts(release: Release) -> Iterator[dict[str, Any]]:
    for number, chart in enumerate(release.charts):
        yield {
            "type": "application",
            "bom-ref": f"chart/{chart.name}",
            "name": chart.name,
            "version": chart.version,
            "hashes": _hash(chart.data),
            **_licensed(_OURS if number < 2 else _declared(chart)),
        }


def _declared(chart: Chart) -> str | None:
    """The license that a chart of others names; Helm itself has no place for it."""
    return (chart.facts.get("annotations") or {}).get("artifacthub.io/license")


def _images(release: Release) -> Iterator[dict[str, Any]]:
    known = {place.name: place for place in release.images}
    for name, place in sorted(known.items()):
        path = f"{place.whole['registry']}/{place.whole['repository']}"
        last = path.rpartition("/")[2]
        yield {
            "type": "container",
            "bom-ref": f"image/{name}",
            "name": path,
            "version": place.whole["tag"],
            "purl": f"pkg:oci/{last}?repository_url={path}&tag={place.whole['tag']}",
            **_licensed(_license_of(place)),
        }


def _license_of(place: Place) -> str:
    found = (name for path, name in _PROGRAMS.items() if place.path[: len(path)] == path)
    return next(found, _OURS)


def _licensed(name: str | None) -> dict[str, Any]:
    return {"licenses": _license(name)} if name else {}


def _license(name: str) -> list[dict[str, Any]]:
    return [{"license": {"id": name}}]


def _hash(data: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digests.hex_of(digests.of(data))}]
