"""Lists of what is delivered, as CycloneDX: how a release for an installer and a bundle say it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from waybill import digest as digests
from waybill.deliver.installer.charts import Chart
from waybill.deliver.installer.sources import document
from waybill.digest import Digest
from waybill.manifest import canonical
from waybill.sign.statements import SPDX

OURS = "Apache-2.0"
_OUR_CHARTS = ("waybill", "waybill-settings")
_SPEC = "http://cyclonedx.org/schema/bom-1.6.schema.json"

Component = dict[str, Any]


def listing(whole: Component, components: Iterable[Component], identity: str) -> bytes:
    """It names no time, and no version of ours: the same content, which `identity` is of, has the
    same list, or a save that was begun could not be gone on with by the next version."""
    tool = {"type": "application", "name": "waybill"}
    return canonical(
        {
            "$schema": _SPEC,
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
            "version": 1,
            "metadata": {"tools": {"components": [tool]}, "component": whole},
            "components": list(components),
        }
    )


def chart_of(chart: Chart) -> Component:
    return {
        "type": "application",
        "bom-ref": f"chart/{chart.name}",
        "name": chart.name,
        "version": chart.version,
        "hashes": hashed(digests.of(chart.data)),
        **licensed(licenses_of(chart)),
    }


def licenses_of(chart: Chart) -> list[str]:
    """That which a chart of others names in an annotation; Helm has no place for it."""
    annotations = chart.facts.get("annotations")
    declared = annotations.get("artifacthub.io/license") if isinstance(annotations, dict) else None
    return [OURS] if chart.name in _OUR_CHARTS else [str(declared)] if declared else []


def container(name: str, whole: Mapping[str, str], digest: str, size: int) -> Component:
    """`whole`: registry, repository and tag; digest '' and size 0 where they are not known."""
    path = f"{whole['registry']}/{whole['repository']}"
    properties = [{"name": "waybill:size", "value": str(size)}] if size else []
    return {
        "type": "container",
        "bom-ref": f"image/{name}",
        "name": path,
        "version": whole["tag"],
        "purl": _purl(path, whole["tag"], digest),
        **licensed(document("licenses").get(whole["repository"], [])),
        **({"hashes": hashed(Digest(digest))} if digest else {}),
        **({"properties": properties} if properties else {}),
    }


def _purl(path: str, tag: str, digest: str) -> str:
    version = f"@{quote(digest, safe='')}" if digest else ""
    return f"pkg:oci/{path.rpartition('/')[2]}{version}?repository_url={path}&tag={tag}"


def licensed(names: Sequence[str]) -> Component:
    """Nothing where none is known."""
    known = ((name, SPDX.get(name.lower())) for name in names)
    found = [{"license": {"id": spdx} if spdx else {"name": name}} for name, spdx in known]
    return {"licenses": found} if found else {}


def hashed(digest: Digest) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digests.hex_of(digest)}]
