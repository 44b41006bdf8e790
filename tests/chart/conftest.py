"""What the tests of the chart share: `render`, which remembers what it rendered."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import NEWEST, Object, Refused, Render, files, helm_template


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden files anew")


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """render(VALUES…, release=, namespace=, helm=3|4, kube=) → objects; raises Refused.

    Values are mappings or paths, later ones win as with `helm --values`.
    """
    folder = tmp_path_factory.mktemp("values")
    known: dict[str, list[Object] | Refused] = {}

    def render(
        *values: Mapping[str, Any] | Path | str,
        release: str = "t",
        namespace: str = "ns",
        helm: int = 4,
        kube: str = NEWEST,
    ) -> list[Object]:
        key = json.dumps([values, release, namespace, helm, kube], default=str, sort_keys=True)
        if key not in known:
            try:
                known[key] = helm_template(files(values, folder), release, namespace, helm, kube)
            except Refused as refused:
                known[key] = refused
        found = known[key]
        if isinstance(found, Refused):
            raise Refused(str(found))
        return copy.deepcopy(found)

    return render
