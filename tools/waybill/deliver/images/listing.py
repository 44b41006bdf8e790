"""Which images there are: told by rendering the chart, as nothing else knows what pods run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from waybill.deliver.helm import Helm, Manifest, overlay
from waybill.deliver.images.operands import operands
from waybill.source.reference import Reference

SLOTS = {
    "global.image": "",
    "minio.image": "minio.enabled",
    "keycloak.image": "keycloak.enabled",
    "keycloak.postgresql.image": "keycloak.database.mode: embedded",
    "vllm.image": "a model",
    "gateway.image": "gateway.enabled",
}
"""Path of an image in the values -> what brings it; "" is always there."""
EVERYTHING: Mapping[str, Any] = {
    "global.objectStore.mode": "embedded",
    "global.objectStore.endpoint": "",
    "global.oidc.mode": "embedded",
    "global.oidc.issuer": "",
    "global.secrets.create": True,
    "minio.enabled": True,
    "keycloak.enabled": True,
    "keycloak.database.mode": "embedded",
    "modelHub.enabled": True,
    "vllm.enabled": True,
    "gateway.enabled": True,
    "drift.enabled": True,
    "import.enabled": True,
    "import.args": ["/source"],
    "import.by": "waybill",
}
"""Values that switch on all that has an image; models, one a profile, are added to them."""
_PROFILES = "global.profiles."
_OF_ONE = re.compile(r"(vllm|import)-.*")
"""The component of an engine, or of an import, of which there may be many."""
_COMMIT = "0" * 40
_PIN = {
    "revisions": {
        _COMMIT: {
            "repo": "waybill/none",
            "digest": f"sha256:{'0' * 64}",
            "size": "1",
            "provenance": "",
        }
    },
    "traffic": {"stable": {"commit": _COMMIT, "weight": "100"}},
}


@dataclass(frozen=True)
class Image:
    """`path`: where the values name it, "" where they do so in another way; `needs`: what of the
    values brings it, "" for always; `components`: the pods that run it."""

    reference: Reference
    components: tuple[str, ...]
    path: str = ""
    needs: str = ""

    def as_json(self) -> dict[str, Any]:
        one = self.reference
        return {
            "name": str(one),
            "registry": one.registry,
            "repository": one.repository,
            "tag": one.tag,
            "digest": one.digest,
            "components": list(self.components),
            "path": self.path,
            "needs": self.needs,
        }


def listed(release: Helm, *, everything: bool = False) -> list[Image]:
    """The images of a release under their own names, as if `global.imageRegistry` were empty.

    `everything`: with all that these values could switch on, and a model on each profile. A chart
    of others, as that of a GPU operator, runs what its values say.
    Raises HelmMissing, HelmFailed, BadFile, BadValue.
    """
    values = release.values()
    if "profiles" not in (values.get("global") or {}):
        return [_image(name, parts, {}) for name, parts in images_of(release.template()).items()]
    sets = {**release.sets, "global.imageRegistry": ""}
    if everything:
        sets |= {**EVERYTHING, **_models(values["global"]["profiles"])}
    objects = replace(release, sets=sets).template()
    paths = dict(_slots(values))
    return [_image(name, parts, paths) for name, parts in images_of(objects).items()]


def images_of(objects: Iterable[Manifest]) -> dict[str, set[str]]:
    """Image -> components whose pods run it, sorted by name; hooks and tests too."""
    found: dict[str, set[str]] = {}
    for one in objects:
        for spec, labels in _pods(one):
            containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
            for container in filter(lambda each: each.get("image"), containers):
                component = str(labels.get("app.kubernetes.io/component", one["kind"].lower()))
                short = _OF_ONE.sub(r"\1", component)
                found.setdefault(container["image"], set()).add(short)
        for name, component in operands(one):
            found.setdefault(name, set()).add(component)
    return dict(sorted(found.items()))


def _pods(one: Manifest) -> Iterator[tuple[Mapping[str, Any], Mapping[str, str]]]:
    """Spec and labels of the pods that an object makes."""
    spec = one.get("spec") or {}
    if one["kind"] == "Pod":
        yield spec, one["metadata"].get("labels") or {}
    elif one["kind"] == "CronJob":
        yield from _pods({"kind": "Job", **(spec.get("jobTemplate") or {})})
    elif isinstance(template := spec.get("template"), Mapping) and template.get("spec"):
        yield template["spec"], (template.get("metadata") or {}).get("labels") or {}


def _image(name: str, components: Iterable[str], paths: Mapping[str, str]) -> Image:
    path = paths.get(name, "")
    needs = SLOTS.get(path, "a model")
    if path.startswith(_PROFILES):
        needs = f"a model on the profile {path.split('.')[2]}"
    return Image(Reference.parse(name), tuple(sorted(components)), path, needs if path else "")


def _models(profiles: Mapping[str, Any]) -> dict[str, Any]:
    """Values of one pinned model a profile."""
    sets: dict[str, Any] = {}
    for number, profile in enumerate(profiles):
        name = f"image-list-{number}"
        sets[f"{_PROFILES}{profile}.enabled"] = True
        sets[f"global.models.{name}"] = {"enabled": True, "profile": profile}
        sets[f"global.pins.{name}"] = _PIN
    return sets


def _slots(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, path) of each image that the values name: those of profiles first, then the rest."""
    engine = values["vllm"]["image"]
    for name, profile in values["global"]["profiles"].items():
        if own := profile.get("image"):
            yield _name(_over(engine, own)), f"{_PROFILES}{name}.image"
    if own := values["vllm"]["pull"]["image"]:
        yield _name(_over(values["global"]["image"], own)), "vllm.pull.image"
    for path in SLOTS:
        yield _name(_at(values, path.split("."))), path


def _over(image: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """As the chart's `imageOver`: the digest of one image is not that of another."""
    changed = bool({"repository", "tag"} & set(own))
    known = {key: value for key, value in image.items() if not (changed and key == "digest")}
    return overlay(known, own)


def _at(values: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    for key in path:
        values = values[key]
    return values


def _name(image: Mapping[str, Any]) -> str:
    digest = f"@{image['digest']}" if image.get("digest") else ""
    return f"{image['registry']}/{image['repository']}:{image['tag']}{digest}"
