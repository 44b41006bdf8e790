"""The engines: one for each pinned revision, with its arguments, its weights and its budgets."""

import re
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, PINS, Object, Refused, Render, named, of_kind, pod_spec
from waybill.deliver import demands

CHAT, CANARY, EMBED = "vllm-chat-11111111", "vllm-chat-2e222222", "vllm-embed-33333333"
COMMIT = "1" * 40


def values(
    profile: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **vllm: Any
) -> dict[str, Any]:
    chat = {"enabled": True, "profile": "gpu", "rollout": "sideBySide", **(model or {})}
    models = {"chat": chat, "embed": {"enabled": True, "profile": "cpu"}}
    return {"global": {"models": models, "profiles": {"gpu": profile or {}}}, "vllm": vllm}


def engine(render: Render, name: str = CHAT, *more: dict[str, Any], **options: Any) -> Object:
    return named(render(values(**options), PINS, *more), "Deployment", name)


def main(deployment: Object) -> Object:
    (container,) = pod_spec(deployment)["containers"]
    return dict(container)


def pull(deployment: Object) -> Object:
    (container,) = pod_spec(deployment)["initContainers"]
    return dict(container)


def env(container: Object) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


def volume(deployment: Object, name: str) -> Object:
    (found,) = [one for one in pod_spec(deployment)["volumes"] if one["name"] == name]
    return dict(found)


def test_there_is_an_engine_and_a_headless_service_for_each_pinned_revision(render: Render) -> None:
    objects = render(values(), PINS)
    names = {
        kind: sorted(
            one["metadata"]["name"]
            for one in of_kind(objects, kind)
            if "-vllm-" in one["metadata"]["name"]
        )
        for kind in ("Deployment", "Service")
    }
    assert names["Deployment"] == names["Service"] == [f"t-{one}" for one in (CHAT, CANARY, EMBED)]
    assert named(objects, "Service", CHAT)["spec"]["clusterIP"] == "None"


def test_where_there_is_no_room_a_revision_without_traffic_has_no_engine(render: Render) -> None:
    pins = yaml.safe_load(PINS.read_text())
    traffic = pins["global"]["pins"]["chat"]["traffic"]
    traffic["previous"] = {**traffic.pop("canary"), "weight": "0"}
    traffic["stable"]["weight"] = "100"
    objects = render(values(model={"rollout": "replace"}), pins)
    names = [one["metadata"]["name"] for one in of_kind(objects, "Deployment")]
    assert f"t-{CHAT}" in names and f"t-{CANARY}" not in names


def test_without_a_pin_there_is_no_engine(render: Render) -> None:
    names = [one["metadata"]["name"] for one in of_kind(render(values()), "Deployment")]
    assert not [name for name in names if "vllm" in name]


def test_the_place_comes_first_and_the_names_last(render: Render) -> None:
    container = main(engine(render, model={"servedNames": ["chat", "gpt-4o"]}))
    assert container["command"] == ["vllm", "serve"]
    assert container["args"][0] == f"/models/{COMMIT}"
    assert container["args"][-4:] == ["--served-model-name", "chat", "gpt-4o", "chat@11111111"]
    assert main(engine(render))["args"][-3:] == ["--served-model-name", "chat", "chat@11111111"]


def test_the_older_entry_point_takes_the_model_by_a_flag(render: Render) -> None:
    command = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    container = main(engine(render, profile={"command": command}))
    assert container["command"] == command
    assert container["args"][0] == f"--model=/models/{COMMIT}"
    wrapped = main(engine(render, profile={"command": ["/opt/wrap", "vllm", "serve"]}))
    assert wrapped["args"][0] == f"/models/{COMMIT}"


@pytest.mark.parametrize("helm", [3, 4])
def test_a_model_wins_over_its_profile_and_that_over_all(helm: int, render: Render) -> None:
    given = values(
        profile={"engineArgs": {"max-num-seqs": 16, "kv-cache-dtype": "fp8", "seed": 1}},
        model={"engineArgs": {"max-num-seqs": 8, "seed": None, "dtype": None}},
    )
    args = main(named(render(given, PINS, helm=helm), "Deployment", CHAT))["args"]
    assert "--max-num-seqs=8" in args
    assert "--kv-cache-dtype=fp8" in args
    assert "--gpu-memory-utilization=0.9" in args
    assert not [one for one in args if one.startswith(("--seed", "--dtype"))]


WRITTEN: dict[str, tuple[object, list[str]]] = {
    "true": (True, ["--x"]),
    "false": (False, ["--no-x"]),
    "a large number": (33554432, ["--x=33554432"]),
    "a share": (0.85, ["--x=0.85"]),
    "nought": (0, ["--x=0"]),
    "a text with spaces": ("a b: c", ["--x=a b: c"]),
    "a list": ([1, 2], ["--x", "1", "2"]),
    "a map": ({"b": 1, "a": [True]}, ['--x={"a":[true],"b":1}']),
}


@pytest.mark.parametrize("what", WRITTEN)
@pytest.mark.parametrize("helm", [3, 4])
def test_a_value_becomes_an_option(what: str, helm: int, render: Render) -> None:
    value, expected = WRITTEN[what]
    objects = render(values(model={"engineArgs": {"x": value}}), PINS, helm=helm)
    args = main(named(objects, "Deployment", CHAT))["args"]
    at = args.index(expected[0])
    assert args[at : at + len(expected)] == expected


def test_the_weights_come_through_the_hub_by_digest_with_the_engines_own_token(
    render: Render,
) -> None:
    deployment = engine(render)
    container = pull(deployment)
    assert container["args"] == [
        "pull",
        f"acme/chat@{COMMIT}",
        "--hub=http://t-model-hub.ns.svc:8080",
        f"--digest=sha256:{'1' * 64}",
        f"--out=/models/{COMMIT}",
    ]
    (source,) = volume(deployment, "token")["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "waybill-hub"
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "token"]
    assert env(container)["HF_TOKEN_PATH"] == f"{mount['mountPath']}/token"
    assert pod_spec(deployment)["serviceAccountName"] == "t-vllm"
    assert "token" not in [one["name"] for one in main(deployment)["volumeMounts"]]


def test_the_volume_of_weights_has_room_and_the_scheduler_knows(render: Render) -> None:
    deployment = engine(render)
    room = int(volume(deployment, "models")["emptyDir"]["sizeLimit"].removesuffix("Mi"))
    assert 1.04 < room * 2**20 / 16060556376 < 1.1
    assert pull(deployment)["resources"]["requests"]["ephemeral-storage"] == f"{room}Mi"
    (mount,) = [one for one in main(deployment)["volumeMounts"] if one["name"] == "models"]
    assert mount["readOnly"]


CACHES: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "hostPath": (
        {"path": "/var/lib/models"},
        "hostPath",
        {"path": "/var/lib/models", "type": "Directory"},
    ),
    "persistentVolumeClaim": (
        {"claimName": "models"},
        "persistentVolumeClaim",
        {"claimName": "models"},
    ),
}


@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_keeps_revisions_of_releases_apart(kind: str, render: Render) -> None:
    given, key, expected = CACHES[kind]
    deployment = engine(render, profile={"weights": {"type": kind, **given}})
    assert volume(deployment, "models")[key] == expected
    place = f"/models/ns/t/{COMMIT}"
    assert pull(deployment)["args"][-1] == f"--out={place}"
    assert main(deployment)["args"][0] == place
    assert "ephemeral-storage" not in pull(deployment)["resources"]["requests"]


@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_without_a_place_is_refused(kind: str, render: Render) -> None:
    with pytest.raises(Refused, match=r"nothing says which: set global\.profiles\.gpu\.weights\."):
        engine(render, profile={"weights": {"type": kind}})


@pytest.mark.parametrize(("rate", "budget"), [(200, 460), (1000, 332), (50, 942), (0.5, 64542)])
def test_the_budgets_follow_from_size_and_rate_together(
    rate: float, budget: int, render: Render
) -> None:
    deployment = engine(render, profile={"loadRate": rate})
    container = main(deployment)
    probe = container["startupProbe"]
    assert env(container)["VLLM_ENGINE_READY_TIMEOUT_S"] == str(budget)
    assert 0 <= budget - probe["periodSeconds"] * probe["failureThreshold"] < 5
    assert deployment["spec"]["progressDeadlineSeconds"] == 2 * budget


def test_only_where_there_is_room_a_second_pod_comes_first(render: Render) -> None:
    for name, surge in ((CHAT, {"maxSurge": 0, "maxUnavailable": 1}),
                        (EMBED, {"maxSurge": 1, "maxUnavailable": 0})):  # fmt: skip
        assert engine(render, name)["spec"]["strategy"]["rollingUpdate"] == surge


@pytest.mark.parametrize("grace", [60, 300, 3600])
def test_an_engine_drains_before_the_kubelets_patience_ends(grace: int, render: Render) -> None:
    deployment = engine(render, terminationGracePeriodSeconds=grace)
    container = main(deployment)
    (drain,) = [one for one in container["args"] if one.startswith("--shutdown-timeout=")]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod_spec(deployment)["terminationGracePeriodSeconds"] == grace
    assert pause + int(drain.partition("=")[2]) + 15 == grace


def test_too_little_time_to_drain_is_refused(render: Render) -> None:
    with pytest.raises(Refused, match="terminationGracePeriodSeconds"):
        engine(render, terminationGracePeriodSeconds=30)


def test_nothing_is_asked_of_the_internet_and_all_that_is_written_is_in_a_volume(
    render: Render,
) -> None:
    container = main(engine(render))
    told = env(container)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
        assert told[name] == "1"
    mounts = [one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")]
    assert mounts == ["/cache", "/tmp", "/dev/shm"]  # noqa: S108 - in the container
    for name in ("HOME", "TMPDIR", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "XDG_CACHE_HOME"):
        assert told[name].startswith(tuple(mounts))
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_environments_win_as_arguments_do(render: Render) -> None:
    told = env(
        main(
            engine(
                render,
                env={"A": "all", "B": "all", "C": "all", "HF_HUB_OFFLINE": "0"},
                profile={"env": {"B": "profile", "C": "profile"}},
                model={"env": {"C": 1000000}},
            )
        )
    )
    assert [told[name] for name in "ABC"] == ["all", "profile", "1000000"]
    assert told["HF_HUB_OFFLINE"] == "0"


def test_the_profile_says_where_and_on_what(render: Render) -> None:
    profile = {
        "nodeSelector": {"gpu": "h100"},
        "runtimeClassName": "nvidia",
        "priorityClassName": "models",
        "shmSize": "20Gi",
        "extraVolumes": [{"name": "x", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}],
    }
    deployment = engine(render, profile=profile)
    pod = pod_spec(deployment)
    for key in ("nodeSelector", "runtimeClassName", "priorityClassName"):
        assert pod[key] == profile[key]
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert volume(deployment, "shm")["emptyDir"] == {"medium": "Memory", "sizeLimit": "20Gi"}
    assert volume(deployment, "x")
    assert main(deployment)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in pull(deployment)["resources"]["limits"]


def test_a_profile_may_say_nothing(render: Render) -> None:
    bare = {
        "global": {"profiles": {"bare": {"enabled": True}}, "models": {"chat": {"profile": "bare"}}}
    }
    deployment = engine(render, CHAT, bare)
    assert env(main(deployment))["VLLM_ENGINE_READY_TIMEOUT_S"] == "460"
    assert main(deployment)["resources"] == {}


def image(deployment: Object) -> str:
    return str(main(deployment)["image"])


def test_the_build_without_cuda_is_another_image(render: Render) -> None:
    version = yaml.safe_load((CHART / "values.yaml").read_text())["vllm"]["image"]["tag"]
    assert image(engine(render)) == f"docker.io/vllm/vllm-openai:{version}"
    assert image(engine(render, EMBED)) == f"docker.io/vllm/vllm-openai-cpu:{version}"


def test_a_digest_and_a_cuda_version_stay_with_their_image(render: Render) -> None:
    digest = f"sha256:{'a' * 64}"
    given: dict[str, Any] = {"image": {"digest": digest, "registry": "r", "pullPolicy": "Always"}}
    assert image(engine(render, **given)).endswith(f"@{digest}")
    other = engine(render, EMBED, **given)
    assert image(other).startswith("r/vllm/vllm-openai-cpu:") and "@" not in image(other)
    assert main(other)["imagePullPolicy"] == "Always"
    assert demands.CUDA not in other["metadata"].get("annotations", {})
    own = {"image": {"tag": "v9", "digest": digest, "cudaVersion": "14.1"}}
    newer = engine(render, profile=own)
    assert image(newer) == f"docker.io/vllm/vllm-openai:v9@{digest}"
    assert newer["metadata"]["annotations"][demands.CUDA] == "14.1"


def test_the_init_container_may_stay_as_it_is_while_the_rest_moves_on(render: Render) -> None:
    newer = {"global": {"image": {"tag": "9.9.9", "digest": f"sha256:{'a' * 64}"}}}
    kept = engine(render, CHAT, newer, pull={"image": {"tag": "0.1.0"}})
    assert pull(kept)["image"] == "waybill.local/waybill/waybill:0.1.0"
    assert pull(engine(render, CHAT, newer))["image"].endswith(f":9.9.9@sha256:{'a' * 64}")


def test_doctor_knows_the_cuda_version_of_each_engine(render: Render) -> None:
    marks = engine(render)["metadata"]["annotations"]
    assert re.fullmatch(r"[0-9]+\.[0-9]+", marks[demands.CUDA])


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_replicas_are_those_of_the_model(replicas: int, budgets: int, render: Render) -> None:
    objects = render(values(model={"replicas": replicas}), PINS)
    assert named(objects, "Deployment", CHAT)["spec"]["replicas"] == replicas
    found = [
        one
        for one in of_kind(objects, "PodDisruptionBudget")
        if one["metadata"]["name"] == f"t-{CHAT}"
    ]
    assert len(found) == budgets
