"""The chart's values: one JSON schema and one reference, from schema/*.yaml and values.yaml.

A file schema/<key>.yaml describes one key of values.yaml; schema/_defs.yaml, and `$defs` in any
of the others, hold the shapes that several values share. The prose is written there alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from waybill.deliver import pins

Schema = Mapping[str, Any]

_INJECTED = "global"
_LONGEST_DEFAULT = 60
_INTRODUCTION = """\
Serve open-weight models where there is no internet: an object store, a model hub, vLLM engines, \
one gateway and identity. `values/dev.yaml`, `values/test.yaml` and `values/prod.yaml` are \
examples of whole environments, `values/samples/` of your own S3 and your own issuer; \
[tools/docs/install.md](../../tools/docs/install.md) is the guide.

Values are checked against `values.schema.json`, which refuses a key that it does not know. Named \
things are maps, and each entry has `enabled`, so that a later file can switch one off.
"""


@dataclass(frozen=True)
class Chart:
    """The schema of all values, assembled, the defaults, and the table of the network."""

    schema: Schema
    values: Mapping[str, Any]
    network: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, schema: Schema) -> Schema:
        """The schema with its reference replaced; what stands beside the reference wins."""
        if "$ref" not in schema:
            return schema
        return {**self.resolve(self.schema["$defs"][shape(schema)]), **schema}


def shape(schema: Schema) -> str:
    """The name of the shared shape, or nothing."""
    return str(schema.get("$ref", "")).removeprefix("#/$defs/")


def load(root: Path) -> Chart:
    """Read the chart below a checkout."""
    folder = root / "charts/waybill"
    values = yaml.safe_load((folder / "values.yaml").read_text())
    shapes = yaml.safe_load((folder / "schema/_defs.yaml").read_text())
    shapes["pins"] = pins.SCHEMA["properties"]["global"]["properties"]["pins"]
    parts = {}
    for key in values:
        path = folder / "schema" / f"{key}.yaml"
        part = yaml.safe_load(path.read_text()) if path.is_file() else {}
        shapes |= part.pop("$defs", {})
        parts[key] = part
    network = yaml.safe_load((folder / "network.yaml").read_text())
    return Chart(_assemble(parts, shapes), values, network)


def _assemble(parts: Mapping[str, Schema], shapes: Mapping[str, Schema]) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Generated from schema/*.yaml by `python -m waybill.generate --update`.",
        "type": "object",
        "additionalProperties": False,
        "properties": dict(parts),
        "$defs": dict(sorted(shapes.items())),
    }


def schema_text(chart: Chart) -> str:
    """values.schema.json. Its descriptions stay, as editors show them."""
    return json.dumps(chart.schema, indent=1) + "\n"


def differences(chart: Chart) -> Iterator[str]:
    """A sentence for each value that has a default and no schema, or the other way round."""
    yield from _compare(chart, "", chart.schema, chart.values)
    for name, schema in chart.schema["$defs"].items():
        for key, inner in schema.get("properties", {}).items():
            yield from _undescribed(chart, f"$defs.{name}.{key}", inner)


def _compare(chart: Chart, path: str, given: Schema, values: object) -> Iterator[str]:
    schema = chart.resolve(given)
    known, entry = schema.get("properties"), schema.get("additionalProperties")
    if not isinstance(values, Mapping) or (known is None and not isinstance(entry, Mapping)):
        return
    known = known or {}
    for key, value in values.items():
        below = _join(path, key)
        if key in known:
            yield from _compare(chart, below, known[key], value)
        elif isinstance(entry, Mapping):
            yield from _compare(chart, below, entry, value)
        elif entry is False:
            yield f"{below} has a default in values.yaml and no schema"
    if not shape(given):
        yield from _without_default(chart, path, known, values)


def _without_default(
    chart: Chart, path: str, known: Mapping[str, Schema], values: Mapping[str, Any]
) -> Iterator[str]:
    for key, schema in known.items():
        injected = path and key == _INJECTED
        if key not in values and not injected:
            yield f"{_join(path, key)} has a schema and no default in values.yaml"
        if not injected:
            yield from _undescribed(chart, _join(path, key), schema)


def _undescribed(chart: Chart, path: str, schema: Schema) -> Iterator[str]:
    """A group needs no words of its own, and what it groups is asked for in its turn."""
    if "properties" not in schema and not chart.resolve(schema).get("description"):
        yield f"{path} has no description"
    # {type: string, description: one, two} is three keys to YAML.
    if cut := [key for key in schema if " " in key]:
        yield f"{path} has the keyword {cut[0]!r}: quote the text with the comma"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def readme(chart: Chart) -> str:
    """The reference: a table for each key of values.yaml, then one for each shared shape."""
    mark = "<!-- Generated by `python -m waybill.generate --update`; do not edit. -->"
    blocks = [mark, "# The chart waybill", _INTRODUCTION.strip()]
    for key, schema in chart.schema["properties"].items():
        blocks += [f"## {key}", schema.get("description", "")]
        header = ["| value | type | default | meaning |", "|---|---|---|---|"]
        rows = [row(*cells) for cells in _rows(chart, key, schema, chart.values[key])]
        blocks.append("\n".join(header + rows))
    blocks += ["## Shapes", "What several values have in common."]
    for name, schema in chart.schema["$defs"].items():
        blocks += [f"### {name}", schema.get("description", "")]
        rows = [row(*cells[:2], cells[3]) for cells in _rows(chart, "", schema, None)]
        if rows:
            blocks.append("\n".join(["| key | type | meaning |", "|---|---|---|", *rows]))
    blocks += [
        "## Network",
        "Who may talk to whom, with `global.network.policies`.",
        _arrows(chart),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _arrows(chart: Chart) -> str:
    asking = [{"to": "API server", **arrow} for arrow in chart.network.get("apiServer", [])]
    rows = [
        row(arrow["from"], arrow["to"], ", ".join(map(str, arrow["ports"])), arrow["why"])
        for arrow in [*chart.network.get("arrows", []), *asking]
    ]
    return "\n".join(["| from | to | TCP ports | for |", "|---|---|---|---|", *rows])


def _rows(chart: Chart, path: str, schema: Schema, values: object) -> Iterator[tuple[str, ...]]:
    """Path, type, default and meaning of each value below, in the order of the schema."""
    for key, inner in schema.get("properties", {}).items():
        below = _join(path, key)
        default = values.get(key) if isinstance(values, Mapping) else None
        if key == _INJECTED and path:
            continue
        if "properties" in inner:
            yield from _rows(chart, below, inner, default)
        else:
            meaning = str(chart.resolve(inner).get("description", ""))
            yield f"`{below}`", type_of(inner), _default(inner, default), meaning


def row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def type_of(schema: Schema) -> str:
    """What a value may be, in a few words."""
    if name := shape(schema):
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    entry = schema.get("additionalProperties")
    if isinstance(entry, Mapping):
        text = f"map of {type_of(entry)}"
    elif isinstance(schema.get("items"), Mapping):
        text = f"list of {type_of(schema['items'])}"
    return text + "".join(
        f" {sign} {schema[limit]}"
        for limit, sign in (("minimum", "≥"), ("maximum", "≤"), ("exclusiveMinimum", ">"))
        if limit in schema
    )


def _default(schema: Schema, value: object) -> str:
    if (
        isinstance(value, Mapping)
        and value
        and isinstance(schema.get("additionalProperties"), dict)
    ):
        return ", ".join(f"`{name}`" for name in value)
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONGEST_DEFAULT else "see values.yaml"
