"""Replicated's templates, rendered as its installers do: they are Go's, and so are Helm's.

Each function of Replicated is put in Helm's words; any other is an error, as it would be where the
installer does not know it.
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
from waybill.deliver.installer.functions import in_helms_words

_ACTION = re.compile(r"(?:repl\{\{|\{\{repl)(.*?)\}\}|\{\{", re.DOTALL)
_BEGIN = (
    "{{- $options := .Values.options }}{{ $registry := .Values.registry }}"
    "{{ $local := ne $registry.host `` }}{{ $unknown := dict -}}"
)


@dataclass(frozen=True)
class Site:
    """Where a release is installed: what was chosen, and the registry that the installer keeps."""

    options: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    namespace: str = ""

    @property
    def values(self) -> dict[str, Any]:
        registry = {"host": self.host, "namespace": self.namespace}
        return {"options": dict(self.options), "registry": registry}


def render(texts: Mapping[str, str], place: Site) -> dict[str, str]:
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
    return {item["name"]: default(item) for item in items}


def default(item: Mapping[str, Any]) -> str:
    return str(item.get("value", item.get("default", "")))


def _translated(text: str) -> str:
    """What is no expression of Replicated's stays as it is."""

    def action(found: re.Match[str]) -> str:
        return '{{ "{{" }}' if found[1] is None else f"{{{{{in_helms_words(found[1])}}}}}"

    return _ACTION.sub(action, text)
