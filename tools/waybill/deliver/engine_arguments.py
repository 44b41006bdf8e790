"""engineArgs against the options of the pinned vLLM: what would keep an engine from starting.

vllm_flags.json is printed by ci/vllm_flags.py, which asks vLLM's own parser.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from waybill.deliver.demands import GPU

_PINNED = "the pin decides which files are served"
_HTTP = "the gateway, the Service and the probes speak plain HTTP to port 8000"
_PRIVATE = "a pod's arguments are no place for a secret, and the gateway checks tokens"
OWNED = {
    "model": _PINNED,
    "revision": _PINNED,
    "code-revision": _PINNED,
    "tokenizer-revision": _PINNED,
    "download-dir": _PINNED,
    "served-model-name": "it follows from the model's servedNames",
    "shutdown-timeout": "it follows from vllm.terminationGracePeriodSeconds",
    "config": "what it reads is checked by nobody; write its options here",
    "api-key": _PRIVATE,
    "hf-token": _PRIVATE,
    **dict.fromkeys(
        ("host", "port", "uds", "root-path", "headless", "grpc", "ssl-keyfile", "ssl-certfile"),
        _HTTP,
    ),
}
"""Options that the chart gives itself, or that would break what it gives: why not here."""

_PARALLEL = tuple(f"{kind}-parallel-size" for kind in ("tensor", "pipeline", "data"))
"""An engine takes as many GPUs as these make, multiplied."""


@dataclass(frozen=True)
class Flag:
    """How an option is given.

    `shape`: boolean (--x, --no-x), switch (--x), list (--x a b), repeated (--x a --x b),
    integer, number, or value, which is any text; maps are written as JSON.
    """

    shape: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flags:
    """The options of one version of vLLM."""

    version: str
    known: Mapping[str, Flag]


@cache
def flags() -> Flags:
    """Those of the vLLM that the chart is made for."""
    data = json.loads((files("waybill.deliver") / "vllm_flags.json").read_text("utf-8"))
    known = {
        name: Flag(flag["shape"], tuple(flag.get("choices", ())))
        for name, flag in data["flags"].items()
    }
    return Flags(data["version"], known)


def engine_argument_findings(values: Mapping[str, Any]) -> list[str]:
    """A sentence for each engine argument in a release's values that vLLM would refuse.

    `values` are all values, with the chart's defaults or without. Of an image with another
    version only the options that the chart gives itself are known.
    """
    found = [
        finding
        for where, args, pinned in _places(values)
        for name, value in args.items()
        if value is not None and (finding := _finding(where, str(name), value, pinned))
    ]
    return found or list(_unequal(values))


def _is_pinned(*images: Mapping[str, Any]) -> bool:
    """Is the image of the pinned version? Of several, the last that names a tag says so."""
    tag = next((each["tag"] for each in reversed(images) if each.get("tag")), None)
    version = re.escape(flags().version)
    return tag is None or re.match(rf"v?{version}(?![0-9.])", str(tag)) is not None


def _places(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """(where, args, whether they are for the pinned version): a profile may have another image."""
    vllm, shared = _map(values, "vllm"), _map(values, "global")
    image, profiles = _map(vllm, "image"), _map(shared, "profiles")
    yield "vllm.engineArgs", _map(vllm, "engineArgs"), _is_pinned(image)
    for kind in ("profiles", "models"):
        for name, entry in _map(shared, kind).items():
            if isinstance(entry, Mapping) and entry.get("enabled", True):
                profile = entry if kind == "profiles" else _map(profiles, entry.get("profile", ""))
                pinned = _is_pinned(image, _map(profile, "image"))
                yield f"global.{kind}.{name}.engineArgs", _map(entry, "engineArgs"), pinned


def _map(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def _unequal(values: Mapping[str, Any]) -> Iterator[str]:
    """Models that spread over more GPUs than their profile has, or over fewer."""
    shared, every = _map(values, "global"), _map(_map(values, "vllm"), "engineArgs")
    for name, model in _map(shared, "models").items():
        if not isinstance(model, Mapping) or not model.get("enabled", True):
            continue
        profile = _map(_map(shared, "profiles"), model.get("profile", ""))
        there = int(_map(_map(profile, "resources"), "limits").get(GPU, 0))
        args = {**every, **_map(profile, "engineArgs"), **_map(model, "engineArgs")}
        sizes = {size: args[size] for size in _PARALLEL if args.get(size) is not None}
        asked = math.prod(int(size) for size in sizes.values())
        if there and asked != there:
            said = " x ".join(f"{size} {value}" for size, value in sizes.items())
            yield (
                f"global.models.{name} spreads over {asked} ({said or 'no parallel size'}), and "
                f"its profile {model['profile']} has {GPU}: {there}: make the two equal"
            )


def _finding(where: str, name: str, value: object, pinned: bool) -> str | None:
    base = name.partition(".")[0]
    if base in OWNED:
        return f"{where}.{name} is not yours to set: {OWNED[base]}"
    if not pinned:
        return None
    flag = flags().known.get(base)
    if flag is None:
        return f"{where}.{name} is no option of vLLM {flags().version}{_suggestion(base)}"
    why = _misfit("value" if "." in name else flag.shape, flag, value)
    return f"{where}.{name} is {value!r}: {why}" if why else None


def _suggestion(name: str) -> str:
    known = flags().known
    plain = name.replace("_", "-").removeprefix("no-")
    if plain in known and name.startswith("no-"):
        return f"; write {plain}: false"
    close = [plain] if plain in known else get_close_matches(plain, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _misfit(shape: str, flag: Flag, value: object) -> str | None:
    if why := _SHAPES[shape](value):
        return why
    if flag.choices and shape == "value" and str(value) not in flag.choices:
        return f"choose from {', '.join(flag.choices)}"
    return None


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "write true or false"


def _switch(value: object) -> str | None:
    return None if value is True else "write true, or leave it out: it has no opposite"


def _integer(value: object) -> str | None:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return None if re.fullmatch(r"-?[0-9]+", text) else "write a whole number"


def _number(value: object) -> str | None:
    text = "" if isinstance(value, bool) else str(value)
    try:
        float(text)
    except ValueError:
        return "write a number"
    return None


def _list(value: object) -> str | None:
    return "write a list" if isinstance(value, bool | Mapping) else None


def _repeated(value: object) -> str | None:
    if isinstance(value, list) and len(value) > 1:
        return "it takes one value here; vLLM wants the option once for each"
    return _list(value)


def _value(value: object) -> str | None:
    if isinstance(value, bool):
        return "write its value: it is no yes or no"
    return "write one value; where vLLM wants JSON, as text" if isinstance(value, list) else None


_SHAPES: Mapping[str, Callable[[object], str | None]] = {
    "boolean": _boolean,
    "switch": _switch,
    "integer": _integer,
    "number": _number,
    "list": _list,
    "repeated": _repeated,
    "value": _value,
}
