"""Replicated's templates, rendered as its installers do: they are Go's, and so are Helm's.

Each function of Replicated that releases here use is put in Helm's words; any other is an error, as
it would be where the installer does not know it.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waybill.deliver import helm

PROXY = "proxy.replicated.com/proxy/waybill"
_ACTION = re.compile(r"(?:repl\{\{|\{\{repl)(-?\s.*?)\}\}|\{\{", re.DOTALL)
_WORDS = (
    (r'ConfigOptionEquals "(\w+)" "(\w*)"', r'(eq (get $options "\1") "\2")'),
    (r'ConfigOptionNotEquals "(\w+)" "(\w*)"', r'(ne (get $options "\1") "\2")'),
    (r'ConfigOption(?:Data)? "(\w+)"', r'(get $options "\1")'),
    (r"RandomString (\d+)", r"(randAlphaNum \1)"),
    (r'ReplicatedImageRegistry "([^"]+)" true', r'(ternary $registry.host "\1" $local)'),
    (r'ReplicatedImageRegistry "([^"]+)"', rf'(ternary $registry.host "{PROXY}/\1" $local)'),
    (r"\bHasLocalRegistry\b", "$local"),
    (r"\bLocalRegistryHost\b", "$registry.host"),
    (r"\bLocalRegistryNamespace\b", "$registry.namespace"),
    (r"\bImagePullSecretName\b", '"waybill-registry"'),
    (r"\bParseInt\b", "int64"),
    (r"\bNamespace\b", "$.Release.Namespace"),
)
_BEGIN = (
    "{{- $options := .Values.options }}{{ $registry := .Values.registry }}"
    "{{ $local := ne $registry.host `` -}}"
)


@dataclass(frozen=True)
class Place:
    """Where a release is installed: what was chosen, and the registry that the installer keeps."""

    options: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    namespace: str = ""

    @property
    def values(self) -> dict[str, Any]:
        registry = {"host": self.host, "namespace": self.namespace}
        return {"options": dict(self.options), "registry": registry}


def render(texts: Mapping[str, str], place: Place) -> dict[str, str]:
    """Each text by its name. Raises HelmMissing, HelmFailed, which names a function not known."""
    names = list(texts)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "templates").mkdir()
        (folder / "Chart.yaml").write_text("{apiVersion: v2, name: texts, version: 0.0.0}")
        (folder / "values.yaml").write_text(json.dumps(place.values))
        for number, name in enumerate(names):
            body = f'{{{{- define "{number}" }}}}{_BEGIN}{_translated(texts[name])}{{{{- end }}}}'
            (folder / "templates" / f"_{number}.tpl").write_text(body)
        calls = [
            f'"{number}": {{{{ include "{number}" . | toJson }}}}' for number in range(len(names))
        ]
        (folder / "templates" / "all.yaml").write_text("\n".join(calls) + "\n")
        said = helm.run("template", "waybill", str(folder), "--namespace=waybill")
    (found,) = helm.documents(said)
    return {name: found[str(number)] for number, name in enumerate(names)}


def defaults(config: Mapping[str, Any]) -> dict[str, str]:
    """The options of a Config that nobody has changed; its own expressions are rendered already."""
    items = [item for group in config["spec"]["groups"] for item in group.get("items") or ()]
    return {item["name"]: str(item.get("value", item.get("default", ""))) for item in items}


def _translated(text: str) -> str:
    """What is no expression of Replicated's stays as it is."""
    return _ACTION.sub(lambda found: _action(found[1]), text)


def _action(expression: str | None) -> str:
    if expression is None:
        return '{{ "{{" }}'
    for pattern, ours in _WORDS:
        expression = re.sub(pattern, ours, expression)
    return f"{{{{{expression}}}}}"
