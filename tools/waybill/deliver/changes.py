"""What an upgrade would change: the rendered objects beside those that were applied last."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from waybill.deliver.helm import Manifest

HIDDEN = "(hidden)"
_HOOK = "helm.sh/hook"


@dataclass(frozen=True)
class Change:
    """One object: `verb` is add, change or remove; `lines` is the unified diff of its YAML."""

    verb: str
    kind: str
    name: str
    lines: tuple[str, ...]


def changes(old: Iterable[Manifest], new: Iterable[Manifest]) -> list[Change]:
    """Objects that differ, in the order of kind and name, without hooks, which come and go."""
    before, after = _by_name(old), _by_name(new)
    found = []
    for key in sorted({*before, *after}):
        was, will = before.get(key), after.get(key)
        if was != will:
            verb = "add" if was is None else "remove" if will is None else "change"
            lines = tuple(difflib.unified_diff(_lines(was), _lines(will), lineterm="", n=2))[2:]
            found.append(Change(verb, *key, lines))
    return found


def _by_name(manifests: Iterable[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {
        (each["kind"], each["metadata"]["name"]): each
        for each in manifests
        if _HOOK not in (each["metadata"].get("annotations") or {})
    }


def _lines(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return []
    return yaml.safe_dump(_without_secrets(manifest), sort_keys=True, width=1000).splitlines()


def _without_secrets(manifest: Manifest) -> Mapping[str, Any]:
    if manifest["kind"] != "Secret":
        return manifest
    hidden = {
        part: dict.fromkeys(manifest[part] or {}, HIDDEN)
        for part in ("data", "stringData")
        if part in manifest
    }
    return {**manifest, **hidden}
