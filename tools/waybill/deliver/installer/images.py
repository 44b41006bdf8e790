"""Where values name images, and which ones they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

INHERITED = {"profiles": ("vllm", "image"), "pull": ("global", "image")}
"""An image in part -> the one that says the rest, by what stands in its path."""
KEYS = ("registry", "repository", "tag")


@dataclass(frozen=True)
class Named:
    """An image at a path of the values; `own` are the keys that stand there themselves."""

    path: tuple[str, ...]
    own: Mapping[str, str]
    whole: Mapping[str, str]

    @property
    def name(self) -> str:
        """As a registry knows it, without a digest."""
        return "{registry}/{repository}:{tag}".format(**self.whole)

    @property
    def rendered(self) -> bool:
        """Whether it is there without a model; an engine's is not."""
        return "vllm" not in self.path and "profiles" not in self.path


def places(values: Mapping[str, Any]) -> list[Named]:
    """Every image that values name, in the order of their paths."""
    return sorted(_found(values, values, ()), key=lambda one: one.path)


def _found(
    values: Mapping[str, Any], root: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Named]:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            continue
        if key == "image" and any(part in value for part in (*KEYS, "digest")):
            yield Named((*path, key), value, _whole(value, root, path))
        else:
            yield from _found(value, root, (*path, key))


def _whole(
    own: Mapping[str, str], root: Mapping[str, Any], path: tuple[str, ...]
) -> dict[str, str]:
    steps = next((found for part, found in INHERITED.items() if part in path), None)
    base: Any = reduce(lambda found, step: found[step], steps, root) if steps else {}
    return {key: own.get(key, base.get(key, "")) for key in KEYS}


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A map that has the value at the path."""
    for step in reversed(path):
        value = {step: value}
    return dict(value)
