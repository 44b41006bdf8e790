"""What each environment runs, as reviewed: a diff here is what will change in the cluster.

`pytest tests/chart/test_golden.py --update` writes the files anew.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CASES, Object, Render

FOLDER = Path("tests/chart/golden")
GENERATED_ELSEWHERE = {
    "expected.yaml": "objects of this file",
    "waybill.json": "charts/waybill/dashboards/waybill.json",
}


class Dumper(yaml.CSafeDumper):
    """Writes texts of many lines as such."""


def _text(dumper: yaml.CSafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, _text)


def reviewed(objects: list[Object]) -> str:
    """One sorted file, without what is reviewed in another one."""
    for one in objects:
        if one["kind"] == "ConfigMap":
            one["data"] |= {
                key: GENERATED_ELSEWHERE[key] for key in one["data"] if key in GENERATED_ELSEWHERE
            }
    objects = sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))
    text: Any = yaml.dump_all(objects, Dumper=Dumper, width=100)
    return str(text)


@pytest.mark.parametrize("name", ["dev", "test", "prod"])
def test_the_environment_renders_as_reviewed(
    render: Render, name: str, pytestconfig: pytest.Config
) -> None:
    objects = render(*CASES[name], release="waybill", namespace="waybill")
    path, text = FOLDER / f"{name}.yaml", reviewed(objects)
    if pytestconfig.getoption("update"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, "if it is meant so: pytest tests/chart/test_golden.py --update"
