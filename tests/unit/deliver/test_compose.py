"""Pods as services of Compose, and a project on disk; tests/chart renders the real ones."""

from collections.abc import Mapping
from typing import Any

import pytest

from waybill.deliver.compose.containers import Translation, gpus, size
from waybill.deliver.compose.networks import Reach, definitions
from waybill.deliver.compose.pods import pods
from waybill.deliver.compose.project import _give_gpus, _literal, _services, _yaml
from waybill.deliver.compose.unsaid import check, check_kinds
from waybill.errors import NotEnoughGpus, NotInCompose

LABELS = "app.kubernetes.io"


def workload(
    component: str, *containers: Mapping[str, Any], kind: str = "Deployment", **spec: Any
) -> dict[str, Any]:
    """A rendered workload; engines are those whose component begins with vllm."""
    part = "vllm" if component.startswith("vllm") else component
    labels = {f"{LABELS}/component": component, f"{LABELS}/name": part}
    first = spec.pop("first", [])
    own = {key: spec.pop(key) for key in ("replicas", "volumeClaimTemplates") if key in spec}
    pod = {"containers": list(containers), "initContainers": first, **spec}
    return {
        "kind": kind,
        "metadata": {"name": f"t-{component}", "labels": labels},
        "spec": {**own, "template": {"metadata": {}, "spec": pod}},
    }


def policy(part: str, *peers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": part},
        "spec": {
            "podSelector": {"matchLabels": {f"{LABELS}/name": part}},
            "egress": [{"to": list(peers)}],
        },
    }


def to(part: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {f"{LABELS}/name": part}}}


def container(name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry.example/x:1", **more}


def translated(manifest: dict[str, Any]) -> tuple[dict[str, Any], Translation]:
    made = Translation("./data")
    (pod,) = pods([manifest])
    return made.service(pod, pod.containers[0], pod.component), made


def services(*objects: dict[str, Any]) -> dict[str, Any]:
    found = pods(objects)
    reach = Reach.of(objects, "ns", {pod.part for pod in found})
    return _services(found, Translation("./data"), reach)


def test_a_container_may_do_as_little_as_in_a_cluster() -> None:
    context = {"runAsUser": 65532, "fsGroup": 65533}
    service, _ = translated(workload("gateway", container(), securityContext=context))
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["user"], service["group_add"]) == ("65532", ["65533"])


def test_command_and_args_are_entrypoint_and_command() -> None:
    service, _ = translated(workload("x", container(command=["a"], args=["b"])))
    assert (service["entrypoint"], service["command"]) == (["a"], ["b"])
    service, _ = translated(workload("x", container(args=["b"])))
    assert "entrypoint" not in service


def test_secrets_come_from_a_file_and_plain_values_do_not() -> None:
    secret = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    service, made = translated(workload("x", container(env=[{"name": "A", "value": "1"}, secret])))
    assert service["environment"] == {"A": "1"}
    assert service["env_file"] == ["./secrets/env/x"]
    assert made.env == {"x": {"KEY": ("s", "k")}} and made.given == {"secrets/s/k"}


@pytest.mark.parametrize(
    ("volume", "source"),
    [
        ({"configMap": {"name": "c"}}, "./config/c"),
        ({"secret": {"secretName": "s"}}, "./secrets/s"),
        ({"persistentVolumeClaim": {"claimName": "p"}}, "./data/p"),
        ({"hostPath": {"path": "/srv"}}, "/srv"),
    ],
)
def test_volumes_are_folders_of_the_host(volume: dict[str, Any], source: str) -> None:
    mounts = [{"name": "v", "mountPath": "/v", "readOnly": True}]
    service, _ = translated(
        workload("x", container(volumeMounts=mounts), volumes=[{"name": "v", **volume}])
    )
    (entry,) = service["volumes"]
    assert (entry["source"], entry["target"], entry["read_only"]) == (source, "/v", True)
    assert entry["bind"]["create_host_path"] is False, "root would own what Docker makes"


def test_single_keys_go_to_their_paths_and_tokens_of_a_cluster_nowhere() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"secret": {"name": "s", "items": [{"key": "k", "path": "root/ID"}]}},
    ]
    volumes = [{"name": "v", "projected": {"sources": sources}}]
    service, made = translated(
        workload("x", container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=volumes)
    )
    found = [(each["source"], each["target"]) for each in service["volumes"]]
    assert found == [("./secrets/s/k", "/v/root/ID")]
    assert made.given == {"secrets/s/k"}


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}, "A by fieldRef"),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {}}}]}, "A by configMapKeyRef"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"optional": True}}}]},
            "A if there is one",
        ),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "envFrom"),
        ({"restartPolicy": "Always"}, "an init container that stays"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "k"}]}, "/v by subPath"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_a_container_gets_all_it_asks_for_or_none_is_written(
    asked: dict[str, Any], what: str, first: bool
) -> None:
    both = container(), container(**asked)
    begins, stays = both[::-1] if first else both
    (pod,) = pods([workload("x", stays, first=[begins])])
    with pytest.raises(NotInCompose, match=f"x asks for {what}, which"):
        check(pod)


@pytest.mark.parametrize(
    ("volume", "what"),
    [
        ({"nfs": {"server": "a"}}, "by nfs"),
        ({"csi": {"driver": "a"}}, "by csi"),
        ({"downwardAPI": {"items": []}}, "by downwardAPI"),
        ({"configMap": {"name": "c", "optional": True}}, "if there is one"),
        ({"projected": {"sources": [{"clusterTrustBundle": {}}]}}, "by clusterTrustBundle"),
        ({"projected": {"sources": [{"secret": {"optional": True}}]}}, "if there is one"),
    ],
)
def test_so_it_is_with_volumes(volume: dict[str, Any], what: str) -> None:
    (pod,) = pods([workload("x", container(), volumes=[{"name": "v", **volume}])])
    with pytest.raises(NotInCompose, match=f"x asks for the volume v {what}"):
        check(pod)


def test_a_pod_is_one_service() -> None:
    (pod,) = pods([workload("x", container(), container())])
    with pytest.raises(NotInCompose, match="x asks for a second container, which"):
        check(pod)


@pytest.mark.parametrize("kind", ["CronJob", "DaemonSet", "Pod"])
def test_workloads_that_no_service_is_like_are_refused(kind: str) -> None:
    one = {**workload("x", container()), "kind": kind}
    with pytest.raises(NotInCompose, match=f"t-x asks for {kind}, which"):
        check_kinds([one])
    one["metadata"]["annotations"] = {"helm.sh/hook": "test"}
    check_kinds([one])


def test_scratch_is_in_memory_and_may_be_run_from_unless_two_share_it() -> None:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("tmp", "cache", "build")]
    first = container("first", volumeMounts=[mounts[0], mounts[2]])
    volumes = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "build", "emptyDir": {}},
    ]
    service, made = translated(
        workload("x", container(volumeMounts=mounts), volumes=volumes, first=[first])
    )
    assert service["tmpfs"] == [
        "/tmp:mode=1777,exec,nosuid,nodev",  # noqa: S108
        "/cache:mode=1777,exec,nosuid,nodev,size=1024m",
    ]
    assert made.folders == {"x-build"}


def test_shared_memory_has_the_size_of_its_volume() -> None:
    volumes = [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
    service, _ = translated(workload("x", container(volumeMounts=mounts), volumes=volumes))
    assert (service["ipc"], service["shm_size"]) == ("private", "2048m")


def test_what_a_stateful_set_claims_is_kept() -> None:
    claims = [{"metadata": {"name": "data"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    manifest = workload(
        "minio", container(volumeMounts=mounts), kind="StatefulSet", volumeClaimTemplates=claims
    )
    service, made = translated(manifest)
    assert service["volumes"][0]["source"] == "./data/minio-data"
    assert made.folders == {"minio-data"}


def test_health_is_readiness_with_the_patience_of_the_start() -> None:
    probes: dict[str, Any] = {
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 3},
        "startupProbe": {"httpGet": {}, "periodSeconds": 2, "failureThreshold": 30},
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    service, _ = translated(workload("gateway", container(**probes)))
    health = service["healthcheck"]
    assert (health["interval"], health["start_interval"]) == ("3s", "2s")
    assert (health["start_period"], health["retries"]) == ("60s", 3)
    assert health["test"][:2] == ["CMD", "bash"] and health["test"][-2:] == ["8080", "/ready"]
    service, _ = translated(workload("minio", container(**probes)))
    assert "healthcheck" not in service, "its image has nothing to ask with"


@pytest.mark.parametrize(
    ("quantity", "expected"), [("2Gi", "2048m"), ("512Mi", "512m"), ("1000", "1000b")]
)
def test_sizes_are_exact(quantity: str, expected: str) -> None:
    assert size(quantity) == expected


def engine(name: str, count: int, **more: Any) -> dict[str, Any]:
    limits: dict[str, Any] = {"resources": {"limits": {"nvidia.com/gpu": count}}}
    return workload(f"vllm-{name}", container(**limits), **more)


def devices(objects: list[dict[str, Any]], *named: str) -> dict[str, list[str]]:
    made = services(*objects)
    _give_gpus(pods(objects), made, named)
    return {
        name: each["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name, each in made.items()
    }


def test_each_engine_gets_gpus_of_its_own() -> None:
    found = devices([engine("b", 2), engine("a", 1, replicas=2)])
    assert found == {"vllm-a-1": ["0"], "vllm-a-2": ["1"], "vllm-b": ["2", "3"]}
    assert devices([engine("a", 1)], "GPU-7") == {"vllm-a": ["GPU-7"]}


def test_too_few_gpus_are_refused_and_so_are_those_of_others() -> None:
    with pytest.raises(NotEnoughGpus, match=r"need 3 GPUs, and --gpus names 4, 5"):
        devices([engine("a", 3)], "4", "5")
    with pytest.raises(NotInCompose, match=r"amd\.com/gpu"):
        gpus(container(resources={"limits": {"amd.com/gpu": 1}}))


def test_networks_are_those_of_the_policies() -> None:
    found = services(
        workload("gateway", container()),
        workload("vllm-a", container(), first=[container("pull")]),
        workload("model-hub", container()),
        workload("minio", container(), kind="StatefulSet"),
        policy("gateway", to("vllm"), {"ipBlock": {"cidr": "10.0.0.0/8"}}),
        policy("vllm", to("model-hub")),
        policy("model-hub", to("minio"), {"ipBlock": {"cidr": "127.0.0.1/32"}}),
        policy("test", to("gateway")),
    )
    joined = {name: set(each.get("networks") or ()) for name, each in found.items()}
    assert joined == {
        "gateway": {"vllm", "outside"},
        "vllm-a": {"vllm"},
        "vllm-a-pull": {"model-hub"},
        "model-hub": {"model-hub", "minio"},
        "minio": {"minio"},
    }
    defined = definitions(found.values())
    assert [name for name, each in defined.items() if each != {"internal": True}] == ["outside"]


def test_who_talks_to_nobody_has_no_network_at_all() -> None:
    found = services(workload("x", container(), first=[container("build")]))
    assert found["x-build"]["network_mode"] == "none" and "networks" not in found["x-build"]


def test_what_is_needed_comes_first() -> None:
    probe: dict[str, Any] = {"readinessProbe": {"exec": {"command": ["ready"]}}}
    found = services(
        workload("gateway", container()),
        workload("vllm-a", container(), first=[container("pull")]),
        workload("model-hub", container(**probe)),
        workload("minio", container()),
        workload("minio-provision", container(), first=[container("users")], kind="Job"),
        policy("gateway", to("vllm")),
        policy("vllm", to("model-hub")),
        policy("model-hub", to("minio")),
        policy("minio-provision", to("minio")),
    )
    done, started = "service_completed_successfully", "service_started"
    waits = {
        name: {on: each["condition"] for on, each in service.get("depends_on", {}).items()}
        for name, service in found.items()
    }
    assert waits == {
        "gateway": {},
        "minio": {},
        "minio-provision": {"minio": started, "minio-provision-users": done},
        "minio-provision-users": {"minio": started},
        "model-hub": {"minio": started, "minio-provision": done},
        "vllm-a": {"vllm-a-pull": done},
        "vllm-a-pull": {"model-hub": "service_healthy"},
    }
    restarts = {name: each["restart"] for name, each in found.items()}
    once = {"minio-provision", "minio-provision-users", "vllm-a-pull"}
    assert {name for name, how in restarts.items() if how == "on-failure"} == once
    assert found["minio-provision"]["labels"] == {"waybill.job": "t-minio-provision"}


def test_a_dollar_stays_one_and_no_reader_takes_text_for_a_number() -> None:
    assert _literal({"a": ["$X"]}) == {"a": ["$$X"]}
    assert _yaml({"a": "1e222222", "b": "off", "c": 1}) == "a: '1e222222'\nb: 'off'\nc: 1\n"


def test_engines_alone_are_worth_a_second_one() -> None:
    manifest = workload("gateway", container(), replicas=2)
    assert [pod.replicas for pod in pods([manifest, engine("a", 1, replicas=2)])] == [1, 2]


def test_hooks_belong_to_helm() -> None:
    hook = workload("secrets", container(), kind="Job")
    hook["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}
    assert pods([hook]) == []


def test_a_pod_knows_what_it_is() -> None:
    (pod,) = pods([workload("vllm-a", container())])
    assert (pod.component, pod.part, pod.once) == ("vllm-a", "vllm", False)
