"""A release for one installer: a folder of documents and charts, always the same bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from waybill.deliver.helm import Helm, Manifest, overlay, values_in
from waybill.deliver.installer import charts, config, documents, images, operator, values
from waybill.deliver.installer.charts import Chart
from waybill.deliver.installer.sources import SETTINGS, document, files
from waybill.deliver.installer.targets import Target
from waybill.deliver.installer.troubleshoot import preflight, support_bundle
from waybill.deliver.installer.yamlfile import dump
from waybill.deliver.secrets import Plan
from waybill.errors import ImagesCollide

TITLE = "Waybill"


@dataclass(frozen=True)
class Order:
    """What a release is made of. `vendor` are values over the chart's own, as `--values` files.

    `chart` is a folder or a packed one, which gives the same release; `operator` is the chart of
    NVIDIA's GPU operator, for Embedded Cluster 3 alone; `cluster` a version of Embedded Cluster.
    """

    target: Target
    chart: Path
    version: str | None = None
    vendor: Mapping[str, Any] = field(default_factory=dict)
    operator: Path | None = None
    cluster: str = ""


@dataclass(frozen=True)
class Release:
    """`files` by their name; `images` are all that an air-gapped bundle of it has to hold."""

    target: Target
    charts: tuple[Chart, ...]
    files: Mapping[str, bytes]
    images: tuple[images.Named, ...]

    @property
    def version(self) -> str:
        return self.charts[0].version

    @property
    def archive(self) -> bytes:
        return charts.archived(self.files)


def build(order: Order) -> Release:
    """Raises BadFile, UnsafePath, BadValue, HelmMissing, HelmFailed, ImagesCollide."""
    with charts.folder_of(order.chart) as folder:
        return _built(replace(order, chart=folder))


def _built(order: Order) -> Release:
    chart = charts.packaged(order.chart, order.version)
    settings = _settings(chart)
    defaults, manifests, plan = _rendered(order)
    found = images.places(overlay(defaults, order.vendor))
    _check(order.target, found)
    made = _documents(order, (chart, settings), defaults, manifests, plan)
    packed = [chart, settings]
    if order.operator:
        beside = Chart.read(order.operator)
        more = operator.images(beside)
        made["embedded-cluster.yaml"]["spec"]["extensions"] = operator.extension(beside)
        made["kots-app.yaml"]["spec"]["additionalImages"] += sorted(each.name for each in more)
        packed, found = [*packed, beside], [*found, *more]
    # KOTS reads the first document of a file alone.
    texts = {name: dump(content).encode() for name, content in made.items()}
    archives = {each.file: each.data for each in packed}
    return Release(order.target, tuple(packed), {**texts, **archives}, tuple(found))


def _settings(chart: Chart) -> Chart:
    """The chart beside it, in the same version and for the same clusters."""
    content = {f"waybill-settings/{path}": data for path, data in files(SETTINGS).items()}
    facts = yaml.safe_load(content["waybill-settings/Chart.yaml"])
    facts |= {key: chart.facts[key] for key in ("version", "kubeVersion") if key in chart.facts}
    content["waybill-settings/Chart.yaml"] = dump(facts).encode()
    return Chart.parse(charts.archived(content))


def _rendered(order: Order) -> tuple[dict[str, Any], list[Manifest], Plan]:
    """The chart's default values, what it makes of the vendor's, and the Secrets that it wants."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as vendor:
        vendor.write(dump(order.vendor).encode())
        vendor.flush()
        own = Helm(order.chart, documents.RELEASE, documents.RELEASE)
        release = replace(own, files=[Path(vendor.name)])
        return own.values(), release.template(), Plan.of(release)


def _check(target: Target, found: Iterable[images.Named]) -> None:
    """Raises ImagesCollide: KOTS keeps the last part of a path alone."""
    known: dict[str, str] = {}
    for place in found if not target.charts_only else ():
        last = place.name.rpartition("/")[2]
        if (other := known.setdefault(last, place.name)) != place.name:
            raise ImagesCollide(first=other, second=place.name, name=last)


def _documents(
    order: Order,
    packed: tuple[Chart, Chart],
    defaults: dict[str, Any],
    manifests: list[Manifest],
    plan: Plan,
) -> dict[str, documents.Document]:
    target, vendor = order.target, dict(order.vendor)
    chart, settings = packed
    main = documents.helm_chart(
        chart,
        documents.RELEASE,
        0,
        values.application(target, defaults, vendor),
        values.static(defaults, vendor),
    )
    main["spec"]["optionalValues"] = documents.further_models()
    beside = documents.helm_chart(settings, settings.name, -10, values.settings(target, plan), {})
    later = [each.name for each in images.places(overlay(defaults, vendor)) if not each.rendered]
    cuda = overlay(defaults, vendor)["vllm"]["image"].get("cudaVersion", "")
    made = {
        "waybill.yaml": main,
        "settings.yaml": beside,
        "config.yaml": config.config(plan),
        "kots-app.yaml": documents.application(target, manifests, sorted(set(later)), TITLE),
        "k8s-app.yaml": documents.links(TITLE),
        "preflight.yaml": preflight(target, cuda),
        "support-bundle.yaml": support_bundle(cuda),
        "lint.yaml": documents.lint_config(),
    }
    if target.cluster:
        made["embedded-cluster.yaml"] = documents.cluster(target, order.cluster or target.cluster)
    if not target.charts_only:
        made["redactor.yaml"] = document("redactor")
        made["backup.yaml"] = document("backup")
        if target.cluster:
            made["restore.yaml"] = documents.restore()
    return made


def vendor_values(paths: list[Path]) -> dict[str, Any]:
    """Values files laid over each other. Raises BadFile."""
    merged: dict[str, Any] = {}
    for path in paths:
        merged = overlay(merged, values_in(path))
    return merged
