"""Rules of the documents, the application and the cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from waybill.deliver.installer.lint.folder import Document, Folder, strings
from waybill.deliver.installer.lint.rule import Found, rule
from waybill.files import NOT_YAML

_ONCE = (
    *("kots.io/", "app.k8s.io/", "embeddedcluster.replicated.com/"),
    *("troubleshoot.sh/", "troubleshoot.replicated.com/"),
)
_MANY = ("HelmChart",)
_ANY_VERSION = ("Installer", "Troubleshoot")
_KURL = ("cluster.kurl.sh/v1beta1", "kurl.sh/v1beta1")
_SEMVER = re.compile(
    r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
_CLUSTER = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?\+k8s-1\.\d{2}(-[0-9A-Za-z.-]+)?")
_ADD_ON_RANGE = re.compile(r"latest|(\d+\.)*x")


@rule("invalid-yaml", "error")
def invalid_yaml(folder: Folder) -> Found:
    for file, text in folder.texts.items():
        try:
            values = [value for value in yaml.safe_load_all(text) if value is not None]
        except NOT_YAML as error:
            yield file, "it is no YAML: " + " ".join(str(error).split())
            continue
        if any(not isinstance(value, Mapping) for value in values):
            yield file, "a document in it is no map"


@rule("missing-api-version-field", "error")
def missing_api(folder: Folder) -> Found:
    for each in folder.documents:
        if not each.api:
            yield each.file, "a document has no apiVersion"


@rule("missing-kind-field", "error")
def missing_kind(folder: Folder) -> Found:
    for each in folder.documents:
        if not each.kind:
            yield each.file, "a document has no kind"


@rule("duplicate-kots-kind", "error")
def duplicate_kind(folder: Folder) -> Found:
    named = [(_identity(each), each) for each in folder.documents]
    counted = Counter(identity for identity, _ in named if identity)
    for identity, each in named:
        if identity and counted[identity] > 1:
            yield each.file, f"{identity} is there {counted[identity]} times: keep one"


def _identity(each: Document) -> str:
    """What there may be one of in a release, or nothing."""
    if each.kind in _ANY_VERSION:
        return each.kind
    one = each.api.startswith(_ONCE) and each.kind not in _MANY
    return f"{each.kind} of {each.api}" if one else ""


@rule("container-image-local-image-name", "error")
def local_image_name(folder: Folder) -> Found:
    for each in folder.documents:
        for path, text in strings(each.value):
            if path and path[-1] == "image" and "LocalImageName" in text:
                yield (
                    each.file,
                    f"{'.'.join(path)} is made by LocalImageName: name the image itself",
                )


@rule("invalid-min-kots-version", "error")
def min_version(folder: Folder) -> Found:
    yield from _version(folder, "minKotsVersion")


@rule("invalid-target-kots-version", "error")
def target_version(folder: Folder) -> Found:
    yield from _version(folder, "targetKotsVersion")


def _version(folder: Folder, key: str) -> Found:
    for each in _applications(folder):
        version = each.spec.get(key)
        if version is not None and not _SEMVER.fullmatch(str(version)):
            yield each.file, f"{key} is {version!r}: write a version as 1.130.0"


@rule("invalid-kubernetes-installer", "error")
def installer(folder: Folder) -> Found:
    for each in folder.of("Installer", *_KURL):
        for name, add_on in each.spec.items():
            version = str(add_on.get("version", "")) if isinstance(add_on, Mapping) else ""
            if _ADD_ON_RANGE.fullmatch(version):
                yield each.file, f"{name} has the version {version}: name one exactly"


@rule("deprecated-kubernetes-installer-version", "warn")
def deprecated_installer(folder: Folder) -> Found:
    for each in folder.of("Installer", "kurl.sh/v1beta1"):
        yield each.file, "kurl.sh/v1beta1 is out of use: write cluster.kurl.sh/v1beta1"


@rule("ec-version-required", "error")
def cluster_version(folder: Folder) -> Found:
    for each in folder.clusters:
        if not each.spec.get("version"):
            yield each.file, "the cluster has no version: name one, as 2.19.2+k8s-1.36"


@rule("non-existent-ec-version", "error")
def cluster_version_form(folder: Folder) -> Found:
    """Which versions there are, only the network knows; what can be none is known here."""
    for each in folder.clusters:
        version = each.spec.get("version")
        if version and not _CLUSTER.fullmatch(str(version)):
            yield each.file, f"the cluster's version {version!r} can be none: write 2.19.2+k8s-1.36"


@rule("application-spec", "warn")
def application_spec(folder: Folder) -> Found:
    if not _applications(folder):
        yield "", "there is no Application of kots.io/v1beta1"


@rule("application-icon", "warn")
def icon(folder: Folder) -> Found:
    for each in _applications(folder):
        if not each.spec.get("icon"):
            yield each.file, "the application has no icon"


@rule("application-statusInformers", "warn")
def informers(folder: Folder) -> Found:
    for each in _applications(folder):
        if not each.spec.get("statusInformers"):
            yield each.file, "the application has no statusInformers, so nobody sees how it is"


@rule("nonexistent-status-informer-object", "warn")
def informed_objects(folder: Folder) -> Found:
    """Charts are not looked into, so this is for what a release installs beside them."""
    there = {(each.kind.lower(), each.name) for each in folder.documents}
    for each in _applications(folder):
        for informer in _texts(each.spec.get("statusInformers")):
            kind, _, name = informer.rpartition("/")
            if (kind.rpartition("/")[2].lower(), name) not in there:
                yield each.file, f"the release has no {informer}"


def _applications(folder: Folder) -> list[Document]:
    return folder.of("Application", "kots.io/v1beta1")


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
