"""What holds for every object of every case."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import (
    CASES,
    CHART,
    Object,
    Render,
    containers,
    named,
    of_kind,
    pod_labels,
    pod_spec,
    workloads,
)

SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_KEY")
LARGEST_CONFIG_MAP, LARGEST_RELEASE = 250_000, 700_000
LONGEST_NAME = 52


@pytest.fixture(params=CASES)
def objects(request: pytest.FixtureRequest, render: Render) -> list[Object]:
    return render(*CASES[request.param])


def where(one: Object, container: Object | None = None) -> str:
    inner = f" container {container['name']}" if container else ""
    return f"{one['kind']}/{one['metadata']['name']}{inner}"


def each_container(objects: list[Object]) -> list[tuple[str, Object, Object]]:
    return [
        (where(one, container), one, container)
        for one in workloads(objects)
        for container in containers(one)
    ]


def test_pods_are_restricted(objects: list[Object]) -> None:
    for one in workloads(objects):
        spec = pod_spec(one)
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, where(one)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where(one)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), where(one)
        for container in containers(one):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, where(one, container)
            assert own["capabilities"] == {"drop": ["ALL"]}, where(one, container)
            assert own.get("readOnlyRootFilesystem") is True, where(one, container)
            assert not own.get("privileged"), where(one, container)
            assert all("hostPort" not in port for port in container.get("ports", []))


def test_the_cluster_may_choose_the_user(render: Render) -> None:
    for one in workloads(render({"global": {"runAsUser": "", "fsGroup": ""}})):
        assert not {"runAsUser", "fsGroup"} & pod_spec(one)["securityContext"].keys(), where(one)


@pytest.mark.parametrize("case", CASES)
def test_no_environment_reaches_for_the_node(render: Render, case: str) -> None:
    for one in workloads(render(*CASES[case])):
        volumes = [volume for volume in pod_spec(one).get("volumes", []) if "hostPath" in volume]
        engine = pod_labels(one)["app.kubernetes.io/name"] == "vllm"
        assert not volumes or (engine and case == "everything"), where(one)


def test_no_pod_gets_a_token_that_it_did_not_ask_for(objects: list[Object]) -> None:
    for one in workloads(objects):
        assert pod_spec(one)["automountServiceAccountToken"] is False, where(one)
        assert pod_spec(one)["enableServiceLinks"] is False, where(one)


def test_everything_is_labelled(objects: list[Object]) -> None:
    for one in objects:
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "t", where(one)
        assert labels["app.kubernetes.io/part-of"] == "waybill", where(one)
        assert labels["app.kubernetes.io/component"], where(one)
    for one in workloads(objects):
        labels = pod_labels(one)
        assert labels["app.kubernetes.io/part-of"] == "waybill", where(one)
        selector = one["spec"].get("selector", {}).get("matchLabels", {})
        assert selector.items() <= labels.items(), where(one)


def test_labels_and_annotations_of_the_site_are_everywhere(render: Render) -> None:
    for one in render(*CASES["everything"]):
        metadata = one["metadata"]
        assert metadata["labels"]["example.internal/owner"] == "models", where(one)
        assert metadata["annotations"]["example.internal/cost"] == "42", where(one)


def test_containers_say_what_they_need(objects: list[Object]) -> None:
    for at, _, container in each_container(objects):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), at
        assert "memory" in resources["limits"], at


def test_servers_are_probed(objects: list[Object]) -> None:
    for one in of_kind(objects, "Deployment", "StatefulSet"):
        for container in pod_spec(one)["containers"]:
            assert "readinessProbe" in container, where(one, container)
            assert "livenessProbe" in container, where(one, container)


def test_rollouts_are_chosen(objects: list[Object]) -> None:
    for one in of_kind(objects, "Deployment"):
        assert one["spec"]["strategy"], where(one)
    for one in of_kind(objects, "StatefulSet"):
        assert one["spec"]["updateStrategy"], where(one)


def test_two_of_a_kind_survive_a_drain(objects: list[Object]) -> None:
    servers = of_kind(objects, "Deployment", "StatefulSet")
    budgets = {
        json.dumps(one["spec"]["selector"]["matchLabels"]): one["spec"]
        for one in of_kind(objects, "PodDisruptionBudget")
    }
    for one in servers:
        selector = json.dumps(one["spec"]["selector"]["matchLabels"])
        # A budget for one pod would hold up every drain.
        assert (selector in budgets) == (one["spec"]["replicas"] > 1), where(one)
        if selector in budgets:
            assert budgets[selector]["maxUnavailable"] == 1


def test_replicas_lie_on_nodes_of_their_own(objects: list[Object]) -> None:
    for one in of_kind(objects, "Deployment", "StatefulSet"):
        if one["spec"]["replicas"] > 1:
            (spread,) = pod_spec(one)["topologySpreadConstraints"]
            assert spread["topologyKey"] == "kubernetes.io/hostname", where(one)
            assert spread["labelSelector"] == one["spec"]["selector"], where(one)


def test_images_are_pinned(objects: list[Object]) -> None:
    for at, _, container in each_container(objects):
        assert re.fullmatch(
            r"[^:@\s]+(:\d+/[^:@\s]+)?:[\w.-]+(@sha256:[0-9a-f]{64})?", container["image"]
        ), at
        assert ":latest" not in container["image"], at
        assert container["imagePullPolicy"], at


def test_one_registry_replaces_all_others(render: Render) -> None:
    objects = render(*CASES["everything"])
    for at, _, container in each_container(objects):
        assert container["image"].startswith("mirror.example.internal:5000/all/"), at
    for one in workloads(objects):
        assert pod_spec(one)["imagePullSecrets"] == [{"name": "registry-prod"}], where(one)


def test_there_are_no_passwords(objects: list[Object]) -> None:
    assert not of_kind(objects, "Secret")
    for at, _, container in each_container(objects):
        for variable in container.get("env", []):
            literal = variable.get("value", "")
            path = literal.startswith("/")
            assert path or not literal or not SECRET.search(variable["name"]), (
                at,
                variable["name"],
            )


def test_every_secret_comes_from_somewhere(objects: list[Object]) -> None:
    plans = [one for one in of_kind(objects, "ConfigMap") if "plan.json" in one["data"]]
    made = json.loads(plans[0]["data"]["plan.json"])["secrets"] if plans else None
    for one in workloads(objects):
        for name, keys in secrets_of(pod_spec(one)):
            if made is not None and name.startswith("t-"):
                assert keys <= made[name].keys(), (where(one), name)


def secrets_of(spec: Object) -> Iterator[tuple[str, set[str]]]:
    """The Secrets that pods need, with the keys that they ask for."""
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for variable in container.get("env", []):
            if ref := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield ref["name"], {ref["key"]}
    for volume in spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if secret := source.get("secret"):
                name = secret.get("secretName") or secret["name"]
                yield name, {item["key"] for item in secret.get("items", [])}


def test_mounts_have_their_volumes(objects: list[Object]) -> None:
    for one in workloads(objects):
        volumes = {volume["name"] for volume in pod_spec(one).get("volumes", [])}
        claims = one["spec"].get("volumeClaimTemplates", [])
        volumes |= {claim["metadata"]["name"] for claim in claims}
        mounted = {
            mount["name"]
            for container in containers(one)
            for mount in container.get("volumeMounts", [])
        }
        assert mounted <= volumes, where(one)
        assert volumes <= mounted, where(one)


def test_services_find_their_pods(objects: list[Object]) -> None:
    for service in of_kind(objects, "Service"):
        selector = service["spec"]["selector"].items()
        pods = [one for one in workloads(objects) if selector <= pod_labels(one).items()]
        assert pods, where(service)
        for port in service["spec"]["ports"]:
            for one in pods:
                known = [p["name"] for c in pod_spec(one)["containers"] for p in c.get("ports", [])]
                assert port["targetPort"] in known, (where(service), port)


def test_config_maps_of_the_release_exist(objects: list[Object]) -> None:
    made = {one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")}
    for one in workloads(objects):
        for volume in pod_spec(one).get("volumes", []):
            name = volume.get("configMap", {}).get("name", "")
            assert not name.startswith("t-") or name in made, where(one)


def test_the_authority_of_the_site_is_trusted_everywhere(render: Render) -> None:
    # These meet nobody's certificate.
    without = {"drift", "minio", "keycloak-postgresql", "keycloak-realm", "secrets"}
    for one in workloads(render(*CASES["everything"])):
        if pod_labels(one)["app.kubernetes.io/name"] not in without:
            volumes = [
                volume.get("configMap", {}).get("name") for volume in pod_spec(one)["volumes"]
            ]
            assert "site-ca" in volumes, where(one)


def test_names_are_short_and_unique(objects: list[Object]) -> None:
    names = Counter((one["kind"], one["metadata"]["name"]) for one in objects)
    assert not [name for name, number in names.items() if number > 1]
    for one in objects:
        assert len(one["metadata"]["name"]) <= LONGEST_NAME, where(one)
        assert one["metadata"]["name"].startswith("t-"), where(one)


def test_nothing_is_too_large_to_be_stored(objects: list[Object]) -> None:
    for one in of_kind(objects, "ConfigMap"):
        assert len(json.dumps(one)) < LARGEST_CONFIG_MAP, where(one)
    chart = b"".join(path.read_bytes() for path in sorted(CHART.rglob("*")) if path.is_file())
    release = yaml.safe_dump_all(objects).encode() + chart
    # Helm stores it compressed and then in Base64, twice.
    assert len(zlib.compress(release)) * 16 // 9 < LARGEST_RELEASE


def test_readiness_waits_for_no_hook(objects: list[Object]) -> None:
    for one in objects:
        hook = one["metadata"].get("annotations", {}).get("helm.sh/hook", "")
        assert "post-" not in hook, where(one)
        assert not hook or one["kind"] != "Secret", where(one)


def test_the_same_values_render_the_same(render: Render) -> None:
    case: tuple[Any, ...] = CASES["everything"]
    assert render(*case) == render(*case, {})


def test_the_default_install_has_no_engine(render: Render) -> None:
    assert not [one for one in render() if "vllm-" in one["metadata"]["name"]]


@pytest.mark.parametrize("name", ["dev", "test", "prod"])
def test_a_model_without_a_pin_renders_nothing(render: Render, name: str) -> None:
    objects = render(f"values/{name}.yaml", f"values/pins/{name}.yaml")
    assert not [one for one in objects if one["metadata"]["name"].startswith("t-vllm-")]


def test_prod_runs_two_of_all_that_can_be_two(render: Render) -> None:
    objects = render(*CASES["prod"])
    for one in of_kind(objects, "Deployment"):
        assert one["spec"]["replicas"] >= 2, where(one)
    assert named(objects, "StatefulSet", "keycloak")["spec"]["replicas"] == 2
