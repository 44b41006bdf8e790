"""What a cluster has, beside what was rendered for it: pure answers about objects.

Only what was rendered is compared, as the API server adds its defaults to everything. What somebody
else has added stands in an object's managedFields, under the name of the program that wrote it; but
of what the API server keeps as one, which selectors and rules are, only that it was written:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from waybill.deliver.demands import quantity
from waybill.deliver.redaction import redacted
from waybill.deliver.rollout import Object
from waybill.errors import BadValue

NOTHING = "nothing"
_VALUE, _OTHER = "a value", "another value"
"""Which may be a secret, written by hand where none is meant to be; logs show what we say."""
_TOOLS = re.compile(r"helm|argocd|flux|kustomize")
"""Names of those that bring releases."""
_HARMLESS = ("kubectl.kubernetes.io/restartedAt",)
"""What `kubectl rollout restart` writes: it changes nothing of what runs."""
_SHOWN = 120
_SKIPPED = {"apiVersion", "kind", "metadata", "status"}
_WHOLE = {
    "configMapKeyRef",
    "egress",
    "ingress",
    "labelSelector",
    "namespaceSelector",
    "nodeSelector",
    "podSelector",
    "rules",
    "secretKeyRef",
    "selector",
    "tls",
    "tolerations",
}
"""Fields that the API server keeps as one: what is in them and was not rendered is no default."""
_DEFAULTS = {"protocol": "TCP"}
"""But this, of the ports of a NetworkPolicy."""
_COMES_AND_GOES = {"Job", "Pod"}


class Name(NamedTuple):
    """Which object."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Difference:
    """One field that is not as expected; `by` says who has changed it last, and when."""

    object: str
    field: str
    expected: str
    found: str
    by: str = ""


def differences(
    expected: Iterable[Object], live: Iterable[Object], kinds: Set[str], whole: Set[str]
) -> list[Difference]:
    """In the order of kind, name and field. `live` has all objects of the release of these kinds;
    what is expected of other kinds is passed over. `whole`: kinds of which all are expected, so
    that one more is one too many.
    """
    wanted, there = _by_name(expected), _by_name(live)
    found: list[Difference] = []
    for name in sorted({*wanted, *there}):
        if name not in there:
            if name.kind in kinds:
                found.append(Difference(str(name), "", "this object", NOTHING))
        elif name not in wanted:
            if name.kind in whole:
                found.append(Difference(str(name), "", NOTHING, "this object", _last(there[name])))
        else:
            found += _of_object(name, wanted[name], there[name])
    return found


def opened(
    expected: Iterable[Object], policies: Iterable[Object], selector: tuple[str, str]
) -> Iterator[Difference]:
    """NetworkPolicies made by hand that let something through to or from pods of ours.

    What is allowed adds up, so one that the release knows nothing of opens what it keeps shut.
    `selector` is the label of the release's own, which `differences` compares.
    """
    key, name = selector
    ours = [
        each["spec"]["template"]["metadata"].get("labels") or {}
        for each in expected
        if each["kind"] in ("Deployment", "StatefulSet")
    ]
    for each in policies:
        spec, by = each["spec"], _last(each)
        known = (each["metadata"].get("labels") or {}).get(key) == name
        if known or not by or not (spec.get("ingress") or spec.get("egress")):
            continue
        if any(_chosen(spec.get("podSelector") or {}, labels) for labels in ours):
            about = Name(each["kind"], each["metadata"]["name"])
            yield Difference(str(about), "", NOTHING, "this object", by)


def _chosen(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"""
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions") or ():
        there, values = each["key"] in labels, each.get("values") or ()
        holds = {
            "In": labels.get(each["key"]) in values,
            "NotIn": labels.get(each["key"]) not in values,
            "Exists": there,
            "DoesNotExist": not there,
        }
        if not holds[each["operator"]]:
            return False
    return True


def _by_name(objects: Iterable[Object]) -> dict[Name, Object]:
    return {
        Name(each["kind"], each["metadata"]["name"]): each
        for each in objects
        if each["kind"] not in _COMES_AND_GOES
        and not each["metadata"].get("ownerReferences")
        and "helm.sh/hook" not in (each["metadata"].get("annotations") or {})
    }


def _of_object(name: Name, expected: Object, live: Object) -> Iterator[Difference]:
    by = _last(live)
    for key, value in expected.items():
        if key not in _SKIPPED:
            for each in _compared(value, live.get(key), (key,)):
                yield replace(each, object=str(name), by=by)
    for key in ("labels", "annotations"):
        about = expected["metadata"].get(key) or {}
        held = live["metadata"].get(key) or {}
        for each in _compared(about, held, ("metadata", key)):
            yield replace(each, object=str(name), by=by)
    for path, who in _added(expected, live):
        yield Difference(str(name), ".".join(path), NOTHING, _VALUE, who)


def _compared(
    expected: Any, found: Any, path: tuple[str, ...], *, whole: bool = False
) -> Iterator[Difference]:
    """`whole`: what is found and was not expected differs, too."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in {**expected, **found} if whole else expected:
            value = expected.get(key, _DEFAULTS.get(key) if whole else None)
            one = whole or key in _WHOLE
            yield from _compared(value, found.get(key), (*path, key), whole=one)
    elif isinstance(expected, list) and isinstance(found, list):
        yield from _of_list(expected, found, path, whole=whole)
    elif not _same(expected, found) or _selects(path, expected) != _selects(path, found):
        shown = _shown(expected, found)
        if path[-1] == "value" and "env" in path:
            shown = (shown[0], _OTHER)
        yield Difference("", ".".join(path), *shown)


def _selects(path: tuple[str, ...], value: Any) -> bool:
    """Of pods and namespaces, one that is empty selects all, and one that is not there none."""
    return path[-1] in ("namespaceSelector", "podSelector") and value is not None


def _of_list(
    expected: list[Any], found: list[Any], path: tuple[str, ...], *, whole: bool
) -> Iterator[Difference]:
    """By the names of its items, where they have some; else by their order."""
    one_by_name, other_by_name = _named(expected), _named(found)
    if one_by_name is None or other_by_name is None:
        if len(expected) != len(found):
            counts = [f"{len(each)} items" for each in (expected, found)]
            yield Difference("", ".".join(path), *counts)
            return
        for at, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _compared(one, other, (*path, str(at)), whole=whole)
        return
    for key in {**one_by_name, **other_by_name}:
        one, other = one_by_name.get(key), other_by_name.get(key)
        if one is None or other is None:
            missing = (_VALUE, NOTHING) if other is None else (NOTHING, _VALUE)
            yield Difference("", ".".join((*path, key)), *missing)
        else:
            yield from _compared(one, other, (*path, key), whole=whole)


def _named(items: list[Any]) -> dict[str, Any] | None:
    if all(isinstance(each, Mapping) and "name" in each for each in items):
        found = {str(each["name"]): each for each in items}
        return found if len(found) == len(items) else None
    return None


def _same(expected: Any, found: Any) -> bool:
    """The API server leaves out what is empty, and writes quantities in its own way."""
    if expected == found or (not expected and not found):
        return True
    if isinstance(expected, bool) or isinstance(found, bool):
        return False
    if isinstance(expected, str | int | float) and isinstance(found, str | int | float):
        try:
            return str(expected) == str(found) or quantity(str(expected)) == quantity(str(found))
        except (BadValue, ValueError):
            return False
    return False


def _shown(expected: Any, found: Any) -> tuple[str, str]:
    """Both in a line each, without credentials; of long texts the first lines that differ."""
    if isinstance(expected, str) and isinstance(found, str):
        pairs = zip(expected.splitlines(), found.splitlines(), strict=False)
        lines = next((pair for pair in pairs if pair[0] != pair[1]), (expected, found))
        expected, found = lines[0].strip(), lines[1].strip()
    texts = [each if isinstance(each, str) else json.dumps(each) for each in (expected, found)]
    shown = [NOTHING if text == "null" else _line(text) for text in texts]
    return shown[0], shown[1]


def _line(text: str) -> str:
    line = redacted(" ".join(text.split()))
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _entries(live: Object) -> list[Mapping[str, Any]]:
    """What others than the tools that bring releases have written, the oldest first."""
    found = [
        each
        for each in live["metadata"].get("managedFields") or ()
        if each.get("subresource", "") in ("", "scale") and not _TOOLS.match(each["manager"])
    ]
    return sorted(found, key=lambda each: str(each.get("time", "")))


def _last(live: Object) -> str:
    """Who wrote to it last, of those who should not."""
    return next((_who(each) for each in reversed(_entries(live))), "")


def _who(entry: Mapping[str, Any]) -> str:
    at = entry.get("time")
    return f"{entry['manager']} at {at}" if at else str(entry["manager"])


def _added(expected: Object, live: Object) -> Iterator[tuple[Sequence[str], str]]:
    """Paths of fields that nobody has rendered, and who wrote them."""
    for entry in _entries(live):
        fields = entry.get("fieldsV1") or {}
        for part in ("spec", "data"):
            for path in _unknown(fields.get(f"f:{part}") or {}, expected.get(part), (part,)):
                if path[-1] not in _HARMLESS:
                    yield path, _who(entry)


def _unknown(
    fields: Mapping[str, Any], expected: Any, path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    for key, below in fields.items():
        kind, _, name = key.partition(":")
        if kind == "f":
            child = expected.get(name) if isinstance(expected, Mapping) else None
            here = (*path, name)
        elif kind == "k":
            child, here = _item(expected, json.loads(name)), path
            if child is None:
                continue  # `_of_list` has told it
        else:
            continue
        if below.keys() - {"."}:
            if child is None and isinstance(below, Mapping):
                child = {}
            yield from _unknown(below, child, here)
        elif child is None:
            yield here


def _item(items: Any, keys: Mapping[str, Any]) -> Any:
    """The item of a list that has these keys."""
    for each in items if isinstance(items, list) else ():
        if isinstance(each, Mapping) and keys.items() <= each.items():
            return each
    return None
