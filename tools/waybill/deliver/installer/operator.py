"""NVIDIA's GPU operator beside a release: its values, and all images that an air gap has to let in.

Only Embedded Cluster 3 renders the values of what it installs besides, so only there can they name
the installer's own registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from waybill.deliver.helm import overlay
from waybill.deliver.images.listing import images_of
from waybill.deliver.installer import rendering
from waybill.deliver.installer.charts import Chart, templated, unpacked
from waybill.deliver.installer.expressions import repl
from waybill.deliver.installer.images import KEYS, Named, nested
from waybill.deliver.installer.sources import document
from waybill.deliver.installer.targets import local
from waybill.deliver.installer.yamlfile import dump
from waybill.errors import BadFile
from waybill.source.reference import Reference

_NAME = "gpu-operator"
"""Of its release and of its namespace."""
_HERE = "registry.local"


def images(operator: Chart) -> list[Named]:
    """Those of its pods and those that it starts itself. Raises BadFile, BadValue, HelmFailed.

    BadFile is for an image that would be looked for elsewhere where nothing else can be reached.
    """
    found = [Reference.parse(name) for name in images_of(templated(operator, _ours()))]
    for name in images_of(templated(operator, _inside(operator))):
        if not name.startswith(f"{_HERE}/"):
            why = f"nothing in its values sets the registry of {name}"
            raise BadFile(path=operator.file, why=why)
    return [Named((_NAME,), {}, {key: getattr(one, key) for key in KEYS}) for one in found]


def extension(operator: Chart) -> dict[str, Any]:
    """As the Config of Embedded Cluster 3 has it."""
    chart = {"name": operator.name, "chartVersion": operator.version}
    one = {"chart": chart, "releaseName": _NAME, "namespace": _NAME, "values": values(operator)}
    return {"helmCharts": [one]}


def values(operator: Chart) -> dict[str, Any]:
    """Ours, and each repository of the chart's own in the registry that the installer has."""
    own = yaml.safe_load(unpacked(operator.data).get(f"{operator.name}/values.yaml", b"")) or {}
    found = _ours()
    for path, repository in _repositories(overlay(own, found)):
        registry, _, rest = repository.partition("/")
        text = f"{repl(local(registry, direct=True))}/{rest}"
        found = overlay(found, nested(path, text))
    return found


def _inside(operator: Chart) -> Any:
    """The values as they are rendered in a closed room."""
    place = rendering.Site(host=_HERE)
    return yaml.safe_load(rendering.render({"": dump(values(operator))}, place)[""])


def _ours() -> dict[str, Any]:
    found: dict[str, Any] = document("gpu_operator")
    return found


def _repositories(
    part: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Path and value of each `repository` that is in use and begins with a registry."""
    for key, value in part.items():
        if isinstance(value, Mapping) and value.get("enabled") is not False:
            yield from _repositories(value, (*path, key))
        elif key == "repository" and "." in str(value).partition("/")[0]:
            yield (*path, key), str(value)
