"""Helm as `waybill` calls it: the order of the files, the merge, and what is said of a refusal."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART
from tests.services import needs
from waybill.deliver import helm, install
from waybill.deliver.environments import Environment
from waybill.errors import BadEngineArguments, BadFile, HelmFailed, HelmMissing, NoChart

PINS = {"global": {"labels": {"from": "pins"}}}


@pytest.fixture(params=["WAYBILL_TEST_HELM3", "WAYBILL_TEST_HELM4"], autouse=True)
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_HELM", needs(request.param))


def environment(folder: Path, **labels: str) -> Environment:
    values, pins = folder / "dev.yaml", folder / "pins.yaml"
    values.write_text(yaml.safe_dump({"global": {"labels": labels}}))
    return Environment("dev", "file:///nowhere", pins, values, namespace="ns", release="w")


def test_further_files_win_over_the_environments_own_and_pins_over_all(tmp_path: Path) -> None:
    given = environment(tmp_path, **{"from": "values", "kept": "yes"})
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump({"global": {"labels": {"from": "more"}}}))
    assert labels(helm.of(given, CHART, [more])) == {"from": "more", "kept": "yes"}
    given.pins_path.write_text(yaml.safe_dump(PINS))
    assert labels(helm.of(given, CHART, [more])) == {"from": "pins", "kept": "yes"}


def test_the_hub_gets_the_environments_trust_policy(tmp_path: Path) -> None:
    given = environment(tmp_path)
    assert helm.of(given, CHART).texts == {}
    policy = tmp_path / "whom, and why.yaml"
    trusting = replace(given, trust_path=policy)
    with pytest.raises(BadFile, match="whom, and why"):
        helm.of(trusting, CHART)
    policy.write_text("default: {unsigned: allow}\n")
    said = rendered(helm.of(trusting, CHART))
    assert "default: {unsigned: allow}" in str(said)


def labels(release: helm.Helm) -> dict[str, str]:
    found: dict[str, str] = release.values()["global"]["labels"]
    return found


def test_our_merge_is_helms(tmp_path: Path) -> None:
    given = environment(tmp_path)
    given.values_path.write_text("minio: {env: null, storage: {size: 7Gi}, podLabels: {a: b}}")
    merged = helm.of(given, CHART).values()["minio"]
    assert "env" not in merged and merged["podLabels"] == {"a": "b"}
    assert merged["storage"]["size"] == "7Gi" and "storageClass" in merged["storage"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"absent\.yaml"):
        helm.of(environment(tmp_path), CHART, [tmp_path / "absent.yaml"])


def test_a_missing_chart_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoChart, match="there is no chart"):
        helm.of(environment(tmp_path), tmp_path)


def test_a_refusal_is_the_charts_sentence_alone(tmp_path: Path) -> None:
    given = environment(tmp_path)
    model = {"enabled": True, "profile": "tpu"}
    given.values_path.write_text(yaml.safe_dump({"global": {"models": {"m": model}}}))
    with pytest.raises(HelmFailed) as refused:
        rendered(helm.of(given, CHART))
    assert "tpu" in str(refused.value)
    assert ".yaml:" not in str(refused.value), "the place in a template says nothing to a user"


def rendered(release: helm.Helm) -> object:
    """Helm 3 as it is built here takes an old Kubernetes for granted; its releases do not."""
    if helm.version()[0] == 3:
        where = ("--namespace=ns", "--kube-version=1.36.0")
        given = release._values()
        return helm.run("template", release.release, str(release.chart), *where, *given)
    return install.render(release)


def test_engine_arguments_that_vllm_would_refuse_are_named(tmp_path: Path) -> None:
    given = environment(tmp_path)
    model = {"enabled": True, "profile": "cpu", "engineArgs": {"max-model-length": 5}}
    given.values_path.write_text(yaml.safe_dump({"global": {"models": {"m": model}}}))
    if helm.version()[0] == 4:
        with pytest.raises(BadEngineArguments, match="did you mean max-model-len"):
            install.render(helm.of(given, CHART))


def test_a_helm_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_HELM", "/nowhere/helm")
    with pytest.raises(HelmMissing, match="/nowhere/helm"):
        helm.version()
