"""The values: each has a default, a schema, words that explain it, and a template that reads it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART
from waybill.generate import chart

FOLDERS = {"modelHub": "model-hub"}
GROUPS = {"global", "monitoring"}
"""Keys that templates of more than one component read."""


@pytest.fixture(scope="module")
def ours() -> chart.Chart:
    return chart.load(Path())


def made(schema: Mapping[str, Any], values: Mapping[str, Any]) -> chart.Chart:
    given = {"properties": {"a": schema}, "additionalProperties": False, "$defs": {"text": TEXT}}
    return chart.Chart(given, values)


TEXT = {"type": "string", "description": "A text."}
GROUP = {"type": "object", "additionalProperties": False, "properties": {"b": TEXT}}


def test_ours_has_no_difference(ours: chart.Chart) -> None:
    assert list(chart.differences(ours)) == []


@pytest.mark.parametrize(
    ("schema", "values", "sentence"),
    [
        (GROUP, {"b": "", "c": ""}, "a.c has a default in values.yaml and no schema"),
        (GROUP, {}, "a.b has a schema and no default in values.yaml"),
        ({**GROUP, "properties": {"b": {}}}, {"b": ""}, "a.b has no description"),
        ({**TEXT, "or two": None}, "", "a has the keyword 'or two': quote the text with the comma"),
        (
            {"description": "A map.", "additionalProperties": GROUP},
            {"one": {"b": "", "c": ""}},
            "a.one.c has a default in values.yaml and no schema",
        ),
    ],
)
def test_a_difference_is_a_sentence(schema: Any, values: Any, sentence: str) -> None:
    assert sentence in chart.differences(made(schema, {"a": values}))


def test_shared_shapes_may_leave_out_what_they_describe() -> None:
    schema = {"$ref": "#/$defs/text"}
    assert list(chart.differences(made(schema, {"a": ""}))) == []


def test_the_reference_has_a_row_for_each_value() -> None:
    schema = {**GROUP, "properties": {"b": {**TEXT, "enum": ["x", "y|z"]}}, "description": "All."}
    page = chart.readme(made(schema, {"a": {"b": "x"}}))
    assert '| `a.b` | `"x"` or `"y\\|z"` | `"x"` | A text. |' in page


def leaves(path: tuple[str, ...], value: object) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves((*path, key), inner)
    else:
        yield path


def templates(key: str) -> str:
    folders = [CHART / "templates"]
    folders += [CHART / "charts"] if key in GROUPS else [CHART / "charts" / FOLDERS.get(key, key)]
    return "\n".join(
        path.read_text()
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".yaml", ".tpl", ".txt")
    )


@pytest.mark.parametrize("key", yaml.safe_load((CHART / "values.yaml").read_text()))
def test_every_value_is_read_by_a_template(ours: chart.Chart, key: str) -> None:
    text = templates(key)
    # What toYaml or an own loop writes out whole is read by its parent's name.
    whole = {"resources", "engineArgs", "env", "ingress", "image", "labels", "users"}
    whole |= {"namespaceLabels", "podLabels"}
    for path in leaves((key,), ours.values[key]):
        names = [path[-1], *(whole & set(path))]
        if path[1:2] not in [("models",), ("pins",)]:
            assert any(re.search(rf"[.\"]{name}\b", text) for name in names), ".".join(path)
