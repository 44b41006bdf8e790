"""The samples for Argo CD and Flux: valid by their schemas, and what `waybill install` installs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.closed import closed, complaints
from tests.chart.rendering import CHART, PINS, VALUES, Loader, Object, Render
from tests.services import needs
from waybill.deliver.environments import Environments

SAMPLES = VALUES / "samples/gitops"
FILES = ("argocd/application.yaml", "flux/release.yaml")


def documents(name: str) -> list[Object]:
    return list(yaml.load_all((SAMPLES / name).read_text(), Loader))


@pytest.fixture(scope="module")
def schemas() -> dict[tuple[str, str], Any]:
    """By apiVersion and kind, from the definitions that the makers publish."""
    found = {}
    for path in Path(needs("WAYBILL_TEST_GITOPS")).glob("*.yaml"):
        made = yaml.safe_load(path.read_text())["spec"]
        for version in made["versions"]:
            key = f"{made['group']}/{version['name']}", made["names"]["kind"]
            found[key] = closed(version["schema"]["openAPIV3Schema"])
    return found


def objections(document: Object, schemas: dict[tuple[str, str], Any]) -> list[str]:
    return complaints(schemas[document["apiVersion"], document["kind"]], document)


@pytest.mark.parametrize("name", FILES)
def test_objects_are_what_their_makers_define(name: str, schemas: dict) -> None:
    for document in documents(name):
        assert objections(document, schemas) == []


@pytest.mark.parametrize("name", FILES)
def test_a_misspelt_key_would_be_seen(name: str, schemas: dict) -> None:
    document = documents(name)[-1]
    document["spec"]["synPolicy"] = {}
    assert any("synPolicy" in each for each in objections(document, schemas))


def argocd() -> tuple[str, str, Sequence[Path]]:
    (application,) = documents("argocd/application.yaml")
    spec = application["spec"]
    assert Path(spec["source"]["path"]) == CHART
    helm = spec["source"]["helm"]
    files = [(CHART / path).resolve().relative_to(Path.cwd()) for path in helm["valueFiles"]]
    return helm["releaseName"], spec["destination"]["namespace"], files


def flux() -> tuple[str, str, Sequence[Path]]:
    repository, release = documents("flux/release.yaml")
    spec = release["spec"]
    chart = spec["chart"]["spec"]
    assert chart["sourceRef"] == {
        "kind": repository["kind"],
        "name": repository["metadata"]["name"],
    }
    assert Path(chart["chart"]) == CHART
    files = [Path(path) for path in chart["valuesFiles"]]
    # Flux puts them in the place of the chart's own, so without it there would be no defaults.
    assert files[0] == CHART / "values.yaml"
    return spec["releaseName"], release["metadata"]["namespace"], files


@pytest.mark.parametrize("helm", [3, 4])
@pytest.mark.parametrize("sample", [argocd, flux])
def test_what_is_rendered_is_what_waybill_installs(sample: Any, helm: int, render: Render) -> None:
    name, namespace, files = sample()
    prod = Environments.load(Path())["prod"]
    assert (name, namespace) == (prod.release, prod.namespace)
    own = [path.relative_to(Path.cwd()) for path in (prod.values_path, prod.pins_path)]
    assert list(files)[-2:] == own
    # With pins, as the project's own name no model yet.
    found = render(*files[:-1], PINS, release=name, namespace=namespace, helm=helm)
    ours = render(own[0], PINS, release=name, namespace=namespace, helm=helm)
    assert found == ours and "waybill-vllm-chat" in str(found)
