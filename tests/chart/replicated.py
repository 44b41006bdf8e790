"""Releases for Replicated's installers: built once, rendered for a choice, checked strictly.

The published schemas let any key pass and lag behind the types; here they are closed, and those of
all but KOTS's own kinds come from the custom resource definitions.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import closed
from tests.chart.rendering import CHART, HELM, NEWEST
from tests.services import needs
from waybill.deliver import helm
from waybill.deliver.installer.charts import Chart
from waybill.deliver.installer.release import Order, Release, build
from waybill.deliver.installer.rendering import Site, defaults, render
from waybill.deliver.installer.targets import TARGETS
from waybill.deliver.pins import Pins, Revision
from waybill.digest import from_hex

Object = dict[str, Any]
LOCAL = ("registry.local:5000", "apps")
"""Host and namespace of an installer's own registry."""
COMMIT = "ab" * 32
PINS = Pins().with_stable("chat", Revision("acme/chat", from_hex(COMMIT), 10**9)).text
# What a person may choose: name of the choice -> answers in the form.
STORE: dict[str, dict[str, str]] = {
    "minio": {},
    "s3": {
        "store": "external",
        "store_endpoint": "https://s3.example.internal",
        "store_key_id": "reader",
        "store_secret_key": 'it\'s a "secret": #1',
        "store_write_key_id": "writer",
        "store_write_secret_key": "another",
        "store_cidr": "10.1.0.0/28",
    },
}
IDENTITY: dict[str, dict[str, str]] = {
    "keycloak": {},
    "issuer": {
        "identity": "external",
        "identity_issuer": "https://sso.example.internal/",
        "identity_jwks": "https://sso.example.internal/keys",
        "identity_cidr": "10.2.0.8/32",
        "ca_bundle": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    },
}
HARDWARE: dict[str, dict[str, str]] = {
    "gpu": {"gpus": "2", "runtime_class": "nvidia"},
    "cpu": {"hardware": "cpu"},
}
MODELS: dict[str, dict[str, str]] = {"none": {}, "pinned": {"pins": PINS, "host": "chat.example"}}
_SCRIPTS = tempfile.TemporaryDirectory(prefix="waybill-helm-")


def program(version: int) -> pytest.MonkeyPatch:
    """Makes Waybill call this Helm, until it is undone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WAYBILL_HELM", str(_script(needs(HELM[version]))))
    return patch


@cache
def _script(program: str) -> Path:
    """Built from source, Helm 3 takes itself for one of an old Kubernetes when it renders."""
    path = Path(tempfile.mkdtemp(dir=_SCRIPTS.name)) / "helm"
    newer = f'[ "$1" != template ] || set -- "$@" --kube-version={NEWEST}.0'
    path.write_text(f'#!/bin/sh\n{newer}\nexec {program} "$@"\n')
    path.chmod(0o755)
    return path


@cache
def release(target: str, vendor: str = "{}", helm_version: int = 4) -> Release:
    """`vendor` is the text of a values file."""
    patch = program(helm_version)
    try:
        return build(Order(TARGETS[target], CHART, vendor=yaml.safe_load(vendor)))
    finally:
        patch.undo()


def with_operator(target: str, path: Path) -> Release:
    return build(Order(TARGETS[target], CHART, operator=path))


@dataclass(frozen=True)
class Installed:
    """What a release becomes for what was chosen: its documents, and the objects of both charts."""

    documents: Mapping[str, list[Object]]
    objects: list[Object]
    settings: list[Object]


def installed(
    made: Release, chosen: Mapping[str, str], folder: Path, *, local: bool = False
) -> Installed:
    """As an installer does it, with the helm that WAYBILL_HELM names."""
    found = documents(made.files, chosen, *(LOCAL if local else ()))
    main, beside = (
        templated(chart, values_of(found[name][0]), found[name][0]["spec"]["releaseName"], folder)
        for chart, name in zip(made.charts, ("waybill.yaml", "settings.yaml"), strict=False)
    )
    return Installed(found, main, beside)


def documents(
    files: Mapping[str, bytes], chosen: Mapping[str, str], host: str = "", namespace: str = ""
) -> dict[str, list[Object]]:
    """A release's documents by file, rendered; `host` is the registry that the installer keeps."""
    texts = {name: data.decode() for name, data in files.items() if name.endswith(".yaml")}
    place = Site({**defaulted(texts["config.yaml"]), **chosen}, host, namespace)
    return {
        name: [dict(each) for each in helm.documents(text)]
        for name, text in render(texts, place).items()
    }


@cache
def defaulted(config: str) -> dict[str, str]:
    """Every option that nobody has chosen; random ones are kept, as an installer keeps them."""
    return defaults(yaml.safe_load(render({"": config}, Site())[""]))


def values_of(document: Object) -> Object:
    """What a HelmChart gives its chart."""
    values: Object = document["spec"]["values"]
    for more in document["spec"].get("optionalValues", ()):
        if str(more["when"]).lower() == "true":
            values = helm.overlay(values, more["values"])
    return values


def templated(chart: Chart, values: Mapping[str, Any], name: str, folder: Path) -> list[Object]:
    archive, given = folder / chart.file, folder / "values.json"
    archive.write_bytes(chart.data)
    given.write_text(json.dumps(values))
    said = helm.run("template", name, str(archive), "--namespace=waybill", f"--values={given}")
    return [dict(each) for each in helm.documents(said)]


def rendered(text: bytes, name: str, values: Mapping[str, Any], folder: Path) -> Object:
    """As Embedded Cluster 3 does it for a chart of this name."""
    chart = folder / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(f"{{apiVersion: v2, name: {name}, version: 1.0.0}}")
    (chart / "values.yaml").write_text(yaml.safe_dump(dict(values)))
    (chart / "templates" / "preflight.yaml").write_bytes(text)
    (found,) = helm.documents(helm.run("template", "r", str(chart)))
    return dict(found)


def _published() -> Path:
    return Path(needs("WAYBILL_TEST_REPLICATED"))


@cache
def schema(kind: str, api: str) -> Object:
    """Closed: a key that it does not name is an error."""
    group, _, version = api.partition("/")
    if group == "kots.io":
        path = _published() / "kotskinds" / f"{kind.lower()}-kots-{version}.json"
        return dict(closed.closed(json.loads(path.read_text())))
    path = _published() / "definitions" / f"{group}_{kind.lower()}s.yaml"
    spec = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
    (found,) = (each for each in spec["versions"] if each["name"] == version)
    # Definitions of before have one schema for all versions.
    known = found.get("schema") or spec["validation"]
    return dict(closed.closed(known["openAPIV3Schema"]))


def complaints(one: Object) -> list[str]:
    return closed.complaints(schema(one["kind"], one["apiVersion"]), one)


def fields_of_go(struct: str) -> dict[str, str]:
    """JSON name -> type of each field of one of the cluster's Go types."""
    text = (_published() / "embedded-cluster" / "config_types.go").read_text()
    body = re.search(rf"type {struct} struct {{\n(.*?)\n}}", text, re.DOTALL)
    assert body, f"there is no type {struct}"
    return dict(_fields(body[1]))


def _fields(body: str) -> Iterator[tuple[str, str]]:
    for kind, name in re.findall(r"^\s+\w+\s+(\S+)\s+`json:\"(\w+)", body, re.MULTILINE):
        yield name, kind
