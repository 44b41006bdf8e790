"""Each case renders alike with both Helms and is valid for every version of Kubernetes; versions
that stand in several places agree."""

import tomllib
from pathlib import Path

import pytest
import yaml

from tests.chart.kubernetes import complaints, versions
from tests.chart.rendering import CASES, CHART, NEWEST, OLDEST, Render


def test_all_versions_between_are_known() -> None:
    minors = [version.rpartition(".")[0] for version in versions()]
    first, last = (int(version.partition(".")[2]) for version in (OLDEST, NEWEST))
    assert minors == [f"1.{minor}" for minor in range(first, last + 1)]


@pytest.mark.parametrize("case", CASES)
def test_helm_3_and_4_render_the_same_whatever_the_cluster(render: Render, case: str) -> None:
    newest = render(*CASES[case])
    assert render(*CASES[case], helm=3) == newest
    assert render(*CASES[case], kube=OLDEST) == newest


@pytest.mark.parametrize("version", versions())
def test_every_object_is_valid(render: Render, version: str) -> None:
    found = [
        line
        for case in CASES.values()
        for one in render(*case)
        for line in complaints(one, version)
    ]
    assert not found, "\n".join(found)


def test_the_schemas_refuse_a_typing_error(render: Render) -> None:
    deployment = next(one for one in render() if one["kind"] == "Deployment")
    deployment["spec"]["templat"] = {}
    assert all(complaints(deployment, version) for version in versions())


def test_images_are_of_the_versions_that_the_tests_run() -> None:
    lines = Path("ci/versions.env").read_text().splitlines()
    pinned = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    tags = {name: values[name]["image"]["tag"] for name in ("minio", "keycloak", "vllm", "gateway")}
    assert tags == {
        "minio": pinned["MINIO_VERSION"],
        "keycloak": pinned["KEYCLOAK_VERSION"],
        "vllm": f"v{pinned['VLLM_VERSION']}",
        "gateway": pinned["ENVOY_VERSION"],
    }


def test_the_project_has_one_version() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    found = {}
    for path in [CHART / "Chart.yaml", *CHART.glob("charts/*/Chart.yaml")]:
        chart = yaml.safe_load(path.read_text())
        found[str(path)] = chart["version"]
        found[f"{path} appVersion"] = chart.get("appVersion", project)
        found |= {f"{path} {one['name']}": one["version"] for one in chart.get("dependencies", [])}
    found["image"] = yaml.safe_load((CHART / "values.yaml").read_text())["global"]["image"]["tag"]
    assert set(found.values()) == {project}, found
