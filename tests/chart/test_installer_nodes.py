"""Releases for Replicated's installers: on which nodes pods go, and what a snapshot takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import replicated
from tests.chart.replicated import COMMIT, HARDWARE, MODELS, Installed, installed, release

VENDOR = "{global: {models: {chat: {enabled: true, profile: gpu}}}}"
WITH_GPUS = {**MODELS["pinned"], **HARDWARE["gpu"]}


@pytest.fixture(autouse=True)
def helm4() -> Iterator[None]:
    patch = replicated.program(4)
    yield
    patch.undo()


def roles(target: str) -> dict[str, Any]:
    content = yaml.safe_load(release(target).files["embedded-cluster.yaml"])
    found: dict[str, Any] = content["spec"]["roles"]
    return found


def deployments(found: Installed) -> dict[str, dict[str, Any]]:
    """Their pods' specifications."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in found.objects
        if each["kind"] == "Deployment"
    }


def tolerated(taint: dict[str, str], spec: dict[str, Any]) -> bool:
    return any(
        each.get("key") in (None, taint["key"])
        and each.get("effect", taint["effect"]) == taint["effect"]
        and (each.get("operator") == "Exists" or each.get("value") == taint["value"])
        for each in spec.get("tolerations", ())
    )


def test_only_a_cluster_that_comes_along_has_roles() -> None:
    assert "embedded-cluster.yaml" not in release("kots").files
    for target in ("ec2", "ec3"):
        assert roles(target)["controller"]["labels"] == {"waybill/services": "true"}
        (gpu,) = roles(target)["custom"]
        assert (gpu["name"], gpu["labels"]) == ("gpu", {"waybill/gpu": "true"})


def test_nodes_with_gpus_take_engines_alone_where_the_installer_can_taint_them(
    tmp_path: Path,
) -> None:
    assert "taints" not in roles("ec2")["custom"][0]
    (taint,) = roles("ec3")["custom"][0]["taints"]
    specs = deployments(installed(release("ec3", VENDOR), WITH_GPUS, tmp_path))
    engine = f"waybill-vllm-chat-{COMMIT[:8]}"
    assert {name for name, spec in specs.items() if tolerated(taint, spec)} == {engine}


@pytest.mark.parametrize("target", ["kots", "ec2"])
def test_a_snapshot_takes_every_object(target: str, tmp_path: Path) -> None:
    spec = yaml.safe_load(release(target).files["backup.yaml"])["spec"]
    selectors = [each["matchLabels"].items() for each in spec["orLabelSelectors"]]
    found = installed(release(target, VENDOR), WITH_GPUS, tmp_path)
    missed = [
        (each["kind"], each["metadata"]["name"])
        for each in (*found.objects, *found.settings)
        if not any(one <= each["metadata"].get("labels", {}).items() for one in selectors)
    ]
    assert missed == []
