"""The documents of a release that say how the charts are installed, and what is shown of them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from waybill.deliver.helm import Manifest
from waybill.deliver.installer.charts import Chart
from waybill.deliver.installer.expressions import answer, chosen, quoted, repl, where
from waybill.deliver.installer.sources import HERE
from waybill.deliver.installer.targets import Target

RELEASE = "waybill"
"""The Helm release: Secrets, checks and status informers are named after it."""
_ADDRESS = "http://waybill-gateway"
_PATIENCE = "--timeout=2h"
"""Engines load hundreds of gigabytes, and installers wait until they are ready."""

Document = dict[str, Any]


def helm_chart(
    chart: Chart,
    release: str,
    weight: int,
    values: Mapping[str, Any],
    builder: Mapping[str, Any],
) -> Document:
    """How a chart is installed; what the images are found by, `builder`, has no expressions."""
    return {
        "apiVersion": "kots.io/v1beta2",
        "kind": "HelmChart",
        "metadata": {"name": chart.name},
        "spec": {
            "chart": {"name": chart.name, "chartVersion": chart.version},
            "releaseName": release,
            "weight": weight,
            "helmUpgradeFlags": [_PATIENCE],
            "values": dict(values),
            "builder": dict(builder),
        },
    }


def further_models() -> list[Document]:
    """A person's own models beside the vendor's: a map as text, put in as it is."""
    given = f"{answer('models', '{}')} | nindent 24"
    return [
        {
            "when": repl(f"{answer('models')} | empty | not | toString | toJson"),
            "recursiveMerge": True,
            "values": {"global": {"models": repl(given)}},
        }
    ]


def application(
    target: Target, manifests: Iterable[Manifest], more_images: Sequence[str], title: str
) -> Document:
    """`more_images` are those that no chart shows before a model is pinned."""
    spec: Document = {
        "title": title,
        "icon": _icon(),
        "statusInformers": list(_informers(manifests)),
        "additionalImages": list(more_images),
    }
    if not target.charts_only:
        service = {"serviceName": "waybill-gateway", "servicePort": 8080, "localPort": 8080}
        spec["ports"] = [{**service, "applicationUrl": _ADDRESS}]
    return _kots("Application", spec)


def _informers(manifests: Iterable[Manifest]) -> Iterable[str]:
    """What has to be ready, except what was not chosen."""
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet"):
            name = each["metadata"]["name"]
            path = f"{each['kind'].lower()}/{name}"
            part = name.removeprefix(f"{RELEASE}-").partition("-")[0]
            option = {"minio": "store", "keycloak": "identity"}.get(part)
            here = option and where(chosen(option, "embedded"), quoted(path))
            yield here or path


def _icon() -> str:
    """In the document itself: a closed room reaches no other."""
    data = (HERE / "icon.svg").read_bytes()
    return f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"


def links(title: str) -> Document:
    """The button that opens the application."""
    scheme = f'({answer("tls_name")} | empty | ternary "http://" "https://")'
    address = f"print {scheme} ({answer('host')})"
    url = repl(f"{answer('host')} | empty | ternary {quoted(_ADDRESS)} ({address}) | toJson")
    return {
        "apiVersion": "app.k8s.io/v1beta1",
        "kind": "Application",
        "metadata": {"name": RELEASE},
        "spec": {"descriptor": {"links": [{"description": f"Open {title}", "url": url}]}},
    }


def lint_config() -> Document:
    """Status informers name what charts make, which no linter of releases looks into."""
    rules = [{"name": "nonexistent-status-informer-object", "level": "off"}]
    return _kots("LintConfig", {"rules": rules})


def restore() -> Document:
    """How Embedded Cluster 2 brings a backup back; what a backup takes is in backup.yaml."""
    spec = {"backupName": RELEASE, "includedNamespaces": ["*"]}
    return _object("velero.io/v1", "Restore", spec)


def cluster(target: Target, version: str) -> Document:
    """Of Embedded Cluster: one kind by name, and two by its fields."""
    spec: Document = {"version": version, "roles": _roles(target)}
    return _object("embeddedcluster.replicated.com/v1beta1", "Config", spec)


def _roles(target: Target) -> Document:
    """Nodes with GPUs take engines alone where the installer can taint them."""
    gpu: Document = {"name": "gpu", "labels": {"waybill/gpu": "true"}}
    controller: Document = {"name": "services", "labels": {"waybill/services": "true"}}
    if target.charts_only:
        taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
        return {"controller": controller, "custom": [{**gpu, "taints": [taint]}]}
    gpu |= {"description": "A node with NVIDIA GPUs", "nodeCount": {"range": {"min": 0}}}
    controller["description"] = "Everything but engines"
    return {"controller": controller, "custom": [gpu]}


def _kots(kind: str, spec: Document) -> Document:
    return _object("kots.io/v1beta1", kind, spec)


def _object(api: str, kind: str, spec: Document) -> Document:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": RELEASE}, "spec": spec}
