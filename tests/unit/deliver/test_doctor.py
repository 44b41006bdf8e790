"""Each check on a cluster of our own making, behind our own interface: the real one is in e2e."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from waybill import digest as digests
from waybill.deliver import demands, doctor
from waybill.deliver.doctor import Case, Finding
from waybill.deliver.environments import Environment
from waybill.deliver.pins import Pins, Revision
from waybill.deliver.rollout import Object
from waybill.errors import ClusterForbidden, ClusterUnreachable


@dataclass
class Cluster:
    minor: int = 36
    skew: timedelta = timedelta()
    forbidden: frozenset[str] = frozenset()
    objects: dict[str, list[Object]] = field(default_factory=dict)
    silent: bool = False
    dateless: bool = False
    apis: dict[str, frozenset[str]] = field(default_factory=dict)

    def version(self) -> tuple[int, int]:
        if self.silent:
            raise ClusterUnreachable(where="of the context x", why="connection refused")
        return 1, self.minor

    def clock(self) -> datetime | None:
        return None if self.dateless else datetime.now(UTC) + self.skew

    def allowed(self, _verb: str, _group: str, resource: str) -> bool:
        return resource not in self.forbidden

    def kinds(self, version: str) -> frozenset[str]:
        return self.apis.get(version, frozenset())

    def listed(self, kind: str, selector: str = "") -> list[Object]:
        assert not selector, "no check narrows what it lists"
        if kind in self.forbidden:
            raise ClusterForbidden(where="of the context x", what=f"list {kind}", why="no right")
        return self.objects.get(kind, [])


def case(tmp_path: Path, cluster: Cluster, *manifests: Object, pinned: int = 0) -> Case:
    pins = tmp_path / "pins.yaml"
    if pinned:
        revision = Revision("o/m", digests.parse("sha256:" + "a" * 64), pinned)
        pins.write_text(Pins().with_stable("m", revision).text)
    environment = Environment("dev", (tmp_path / "store").as_uri(), pins, tmp_path / "v.yaml")
    values = yaml.safe_load(Path("charts/waybill/values.yaml").read_text())
    values["minio"]["storage"]["size"] = "10Gi"
    return Case(environment, cluster, values, list(manifests))


def storage_class(name: str, *, default: bool = False) -> Object:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": marks}}


def claim(storage_class: str | None) -> Object:
    spec = {"storageClassName": storage_class} if storage_class else {}
    return {"kind": "StatefulSet", "spec": {"volumeClaimTemplates": [{"spec": spec}]}}


def engine(gpus: int, replicas: int = 1, cuda: str = "13.0") -> Object:
    container = {"resources": {"limits": {demands.GPU: gpus}}}
    pod = {"spec": {"containers": [container]}}
    metadata = {"name": "e", "annotations": {demands.CUDA: cuda} if cuda else {}}
    spec = {"replicas": replicas, "template": pod}
    return {"kind": "Deployment", "metadata": metadata, "spec": spec}


def node(gpus: int, cuda: str = "", label: str = "runtime-version") -> Object:
    major, _, minor = cuda.partition(".")
    prefix = f"nvidia.com/cuda.{label}"
    labels = {f"{prefix}.major": major, f"{prefix}.minor": minor} if cuda else {}
    metadata = {"name": "gpu-1", "labels": labels}
    return {"metadata": metadata, "status": {"allocatable": {demands.GPU: str(gpus)}}}


def level(findings: list[Finding], check: str) -> list[str]:
    return [each.level for each in findings if each.check == check]


def test_a_cluster_that_does_not_answer_is_one_finding(tmp_path: Path) -> None:
    found = doctor.looked(case(tmp_path, Cluster(silent=True)))
    assert level(found, "reach") == ["fail"] and level(found, "rights") == []
    assert level(found, "store") == ["fail", "warn"], "what is no part of it is looked at"


@pytest.mark.parametrize(("minor", "expected"), [(26, "fail"), (27, "ok"), (36, "ok")])
def test_the_oldest_version(tmp_path: Path, minor: int, expected: str) -> None:
    assert level(doctor.looked(case(tmp_path, Cluster(minor))), "reach") == [expected]


@pytest.mark.parametrize(("seconds", "expected"), [(0, "ok"), (-90, "fail"), (90, "fail")])
def test_clocks_that_differ_break_tokens(tmp_path: Path, seconds: int, expected: str) -> None:
    cluster = Cluster(skew=timedelta(seconds=seconds))
    assert level(doctor.looked(case(tmp_path, cluster)), "clock") == [expected]


def test_a_cluster_that_does_not_say_its_time_is_a_warning(tmp_path: Path) -> None:
    (found,) = doctor.clock(case(tmp_path, Cluster(dateless=True)))
    assert found.level == "warn"


def of(version: str, kind: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": {}}


CHART = [
    of("batch/v1", "Job"),
    of("networking.k8s.io/v1", "Ingress"),
    of("networking.k8s.io/v1", "NetworkPolicy"),
    of("monitoring.coreos.com/v1", "PodMonitor"),
]


def test_missing_rights_are_those_to_make_the_charts_kinds(tmp_path: Path) -> None:
    cluster = Cluster(forbidden=frozenset({"jobs", "ingresses", "networkpolicies", "podmonitors"}))
    (found,) = doctor.rights(case(tmp_path, cluster, *CHART))
    assert found.level == "fail"
    assert "may not create jobs, podmonitors, ingresses, networkpolicies" in found.message
    assert level(list(doctor.rights(case(tmp_path, cluster))), "rights") == ["ok"]


def test_without_the_rights_to_watch_less_is_explained(tmp_path: Path) -> None:
    cluster = Cluster(forbidden=frozenset({"pods/log", "events"}))
    made, watched = doctor.rights(case(tmp_path, cluster, *CHART))
    assert (made.level, watched.level) == ("ok", "warn")
    assert "get pods/log, list events" in watched.message
    cluster = Cluster(forbidden=frozenset({"pods"}))
    found = list(doctor.rights(case(tmp_path, cluster, *CHART)))
    assert level(found, "rights") == ["ok", "fail", "warn"]


def test_kinds_that_an_operator_brings_are_missed(tmp_path: Path) -> None:
    there = {"batch/v1": frozenset({"Job"})}
    there["networking.k8s.io/v1"] = frozenset({"Ingress", "NetworkPolicy"})
    (found,) = doctor.kinds(case(tmp_path, Cluster(apis=there), *CHART))
    assert found.level == "fail" and "PodMonitor of monitoring.coreos.com/v1" in found.message


def secrets(*names: str) -> Object:
    sources = [{"secret": {"name": name}} for name in names]
    pod = {"containers": [], "volumes": [{"projected": {"sources": sources}}]}
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": pod}


def test_what_others_have_to_make_is_there_or_named(tmp_path: Path) -> None:
    there: list[Object] = [{"metadata": {"name": "a"}}]
    cluster = Cluster(objects={"secrets": there})
    (found,) = doctor.given(case(tmp_path, cluster, secrets("a")))
    assert (found.level, found.message) == ("ok", "Secret a: there")
    (found,) = doctor.given(case(tmp_path, cluster, secrets("a", "b", "c")))
    assert found.level == "fail" and found.message.startswith("Secret b, c: not there")
    assert "waybill secrets dev" in found.hint
    cluster = Cluster(forbidden=frozenset({"secrets"}))
    (found,) = doctor.given(case(tmp_path, cluster, secrets("a")))
    assert (found.level, found.hint) == ("warn", "look for them: a")


def test_an_external_store_is_probed_before_it_is_one(tmp_path: Path) -> None:
    given = case(tmp_path, Cluster())
    (embedded,) = doctor.store(given)
    assert embedded.level == "warn" and "the chart makes it ready" in embedded.hint
    given.values["global"]["objectStore"]["mode"] = "external"
    probed, no_store = doctor.store(given)
    assert probed.level == "ok" and "compares before it swaps" in probed.message
    assert no_store.level == "warn" and no_store.hint == "waybill store init dev"


@pytest.mark.parametrize(
    ("store", "levels"),
    [
        ("s3://waybill", []),
        ("s3://waybill/", []),
        ("s3://waybill/a", ["fail"]),
        ("file:///srv/store", ["fail"]),
    ],
)
def test_sideload_and_hub_mean_one_store(tmp_path: Path, store: str, levels: list[str]) -> None:
    looked_at = case(tmp_path, Cluster())
    environment = replace(looked_at.environment, store=store)
    found = list(doctor.same_store(replace(looked_at, environment=environment)))
    assert level(found, "store") == levels
    for each in found:
        assert store in each.message and "the chart s3://waybill" in each.message


def test_the_charts_prefix_is_part_of_its_store(tmp_path: Path) -> None:
    looked_at = case(tmp_path, Cluster())
    looked_at.values["global"]["objectStore"]["prefix"] = "a/b"
    environment = replace(looked_at.environment, store="s3://waybill/a/b")
    assert list(doctor.same_store(replace(looked_at, environment=environment))) == []


def test_a_missing_ca_bundle_is_a_finding(tmp_path: Path) -> None:
    given = case(tmp_path, Cluster())
    given.values["global"]["oidc"] |= {"mode": "external", "issuer": "https://issuer.invalid"}
    absent = replace(given.environment, ca_bundle=str(tmp_path / "absent.pem"))
    (found,) = (
        each for each in doctor.looked(replace(given, environment=absent)) if each.check == "issuer"
    )
    assert found.level == "fail" and "absent.pem cannot be used: there is no" in found.message


@pytest.mark.parametrize(
    ("named", "there", "expected"),
    [
        pytest.param(None, storage_class("a", default=True), ["ok"], id="the default"),
        pytest.param(None, storage_class("a"), ["fail"], id="no default"),
        pytest.param("a", storage_class("a"), ["ok"], id="named"),
        pytest.param("b", storage_class("a"), ["fail"], id="named, not there"),
    ],
)
def test_storage_classes(
    tmp_path: Path, named: str | None, there: Object, expected: list[str]
) -> None:
    cluster = Cluster(objects={"storageclasses": [there]})
    assert level(list(doctor.storage(case(tmp_path, cluster, claim(named)))), "storage") == expected


def test_what_may_not_be_looked_at_is_a_warning(tmp_path: Path) -> None:
    cluster = Cluster(forbidden=frozenset({"storageclasses"}))
    assert level(doctor.looked(case(tmp_path, cluster)), "storage") == ["warn"]


@pytest.mark.parametrize(("size", "expected"), [(10**9, "ok"), (10**10, "fail")])
def test_what_is_pinned_must_fit_with_room(tmp_path: Path, size: int, expected: str) -> None:
    (found,) = doctor.space(case(tmp_path, Cluster(), pinned=size))
    assert found.level == expected


@pytest.mark.parametrize(("room", "expected"), [("40Gi", "ok"), ("30000000000", "fail")])
def test_weights_must_fit_a_node(tmp_path: Path, room: str, expected: str) -> None:
    large = engine(0)
    large["spec"]["template"]["spec"]["volumes"] = [
        {"name": "weights", "emptyDir": {"sizeLimit": "30000Mi"}},
        {"name": "shm", "emptyDir": {"sizeLimit": "90Gi", "medium": "Memory"}},
        {"name": "cache", "emptyDir": {}},
    ]
    there = {"status": {"allocatable": {"ephemeral-storage": room}}}
    cluster = Cluster(objects={"nodes": [{"status": {}}, there]})
    (found,) = doctor.disk(case(tmp_path, cluster, engine(0), large))
    assert found.level == expected


@pytest.mark.parametrize(
    ("replicas", "there", "expected"),
    [
        pytest.param(1, node(2), ["ok"], id="enough"),
        pytest.param(2, node(2), ["fail"], id="too few"),
        pytest.param(1, node(2, "13.2"), ["ok"], id="driver new enough"),
        pytest.param(1, node(2, "12.8"), ["ok", "fail"], id="driver too old"),
    ],
)
def test_gpus_and_their_drivers(
    tmp_path: Path, replicas: int, there: Object, expected: list[str]
) -> None:
    cluster = Cluster(objects={"nodes": [there]})
    found = list(doctor.gpus(case(tmp_path, cluster, engine(2, replicas))))
    assert level(found, "gpu") == expected


@pytest.mark.parametrize("label", ["runtime", "runtime-version"])
@pytest.mark.parametrize(
    ("image", "driver", "expected"),
    [
        pytest.param("13.9", "13.10", ["ok"], id="ten comes after nine"),
        pytest.param("13.10", "13.9", ["ok", "fail"], id="nine comes before ten"),
        pytest.param("", "12.8", ["ok"], id="an image that says nothing"),
    ],
)
def test_versions_are_compared_as_numbers(
    tmp_path: Path, image: str, driver: str, expected: list[str], label: str
) -> None:
    cluster = Cluster(objects={"nodes": [node(2, driver, label)]})
    found = list(doctor.gpus(case(tmp_path, cluster, engine(1, cuda=image))))
    assert level(found, "gpu") == expected


@pytest.mark.parametrize(
    ("policies", "cidr", "expected"),
    [(True, "0.0.0.0/0", ["warn"]), (True, "10.0.0.1/32", []), (False, "0.0.0.0/0", [])],
)
def test_a_way_out_to_everywhere_is_a_warning(
    tmp_path: Path, policies: bool, cidr: str, expected: list[str]
) -> None:
    looked_at = case(tmp_path, Cluster())
    assert isinstance(looked_at.values, dict)
    looked_at.values["global"]["network"] |= {"policies": policies, "apiServerCidrs": [cidr]}
    assert level(list(doctor.network(looked_at)), "network") == expected


def test_without_engines_on_gpus_that_is_said(tmp_path: Path) -> None:
    (found,) = doctor.gpus(case(tmp_path, Cluster(), engine(0)))
    assert (found.level, found.message) == ("ok", "nothing that is pinned asks for a GPU")
