"""Images that no pod of a chart names: those which NVIDIA's GPU operator starts by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from waybill.deliver.helm import Manifest

_API = "nvidia.com/"
_KEYS = ("repository", "image", "version")
_BY_SYSTEM = {"driver", "nvidiadriver"}
"""The driver's own: the operator adds the operating system of each node to the tag."""


def operands(one: Manifest) -> Iterator[tuple[str, str]]:
    """(name, component) of what an object of the operator's has it run."""
    if str(one.get("apiVersion", "")).startswith(_API):
        yield from _found(one.get("spec") or {}, str(one["kind"]).lower())


def _found(part: Mapping[str, Any], component: str) -> Iterator[tuple[str, str]]:
    if part.get("enabled") is False:
        return
    if all(part.get(key) for key in _KEYS) and component not in _BY_SYSTEM:
        yield "{repository}/{image}:{version}".format(**part), component
    for key, below in part.items():
        if isinstance(below, Mapping):
            yield from _found(below, key)
