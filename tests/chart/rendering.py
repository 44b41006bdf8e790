"""Renders the chart with a real Helm and reads what comes out."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.services import needs

CHART = Path("charts/waybill")
VALUES = Path("values")
PINS = Path("tests/chart/pins.yaml")
"""A pin for each model of values/{dev,test,prod}.yaml; one of them has a canary."""
CASES: dict[str, tuple[Path, ...]] = {
    "defaults": (),
    **{name: (VALUES / f"{name}.yaml", PINS) for name in ("dev", "test", "prod")},
    "external-s3": (VALUES / "test.yaml", PINS, VALUES / "samples/external-s3.yaml"),
    "external-oidc": (VALUES / "prod.yaml", PINS, VALUES / "samples/external-oidc.yaml"),
    "everything": (VALUES / "prod.yaml", PINS, Path("tests/chart/everything.yaml")),
}
"""Values files by case: what policies have to hold for."""
OLDEST, NEWEST = "1.27", "1.37"
"""Of Kubernetes: what Chart.yaml asks for, and the last whose schemas we have."""
HELM = {3: "WAYBILL_TEST_HELM3", 4: "WAYBILL_TEST_HELM4"}

Object = dict[str, Any]


class Refused(Exception):
    """Helm refused to render; the message is what it said on stderr."""


class Render(Protocol):
    def __call__(
        self,
        *values: Mapping[str, Any] | Path | str,
        release: str = "t",
        namespace: str = "ns",
        helm: int = 4,
        kube: str = NEWEST,
    ) -> list[Object]: ...


class Loader(yaml.CSafeLoader):
    """Refuses a key that is there twice, where others silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise yaml.YAMLError(f"{node.start_mark}: more than once: {', '.join(map(str, twice))}")
        return super().construct_mapping(node, deep)


def files(values: Iterable[Mapping[str, Any] | Path | str], folder: Path) -> list[str]:
    """Paths to hand to --values, in the order given; a mapping is written into the folder."""
    paths = []
    for number, value in enumerate(values):
        path = folder / f"{number}.yaml" if isinstance(value, Mapping) else Path(value)
        if isinstance(value, Mapping):
            path.write_text(json.dumps(value))
        paths.append(str(path))
    return paths


def helm_template(
    paths: Iterable[str], release: str, namespace: str, helm: int, kube: str
) -> list[Object]:
    """Every object, hooks and tests too. Raises Refused."""
    command = [needs(HELM[helm]), "template", release, str(CHART), "--namespace", namespace]
    command += [f"--values={path}" for path in paths]
    command += [f"--kube-version={kube}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return [one for one in yaml.load_all(done.stdout, Loader) if one]


def named(objects: Iterable[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name, without the release's prefix or with it."""
    found = [
        one
        for one in objects
        if one["kind"] == kind and one["metadata"]["name"] in (name, f"t-{name}")
    ]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def workloads(objects: Iterable[Object]) -> list[Object]:
    """Whatever has pods, hooks and tests too."""
    return of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")


def pod_labels(workload: Object) -> dict[str, str]:
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    meta = workload if workload["kind"] == "Pod" else spec["template"]
    labels: dict[str, str] = meta["metadata"]["labels"]
    return labels


def pod_spec(workload: Object) -> Object:
    """The spec of a workload's pods, or of the pod itself."""
    spec: Object = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec if workload["kind"] == "Pod" else spec["template"]["spec"]


def containers(workload: Object) -> list[Object]:
    spec = pod_spec(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]
