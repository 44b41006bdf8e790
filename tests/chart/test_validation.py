"""Values that contradict each other are refused with the sentence to act on."""

from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import PINS, Refused, Render, named

CPU = {"enabled": True, "profile": "cpu"}
HOSTED = {"enabled": True, "target": "external", "external": {"url": "https://api.example.com/v1"}}
ONE, TWO = "1" * 40, "2" * 40


def models(**given: Any) -> dict[str, Any]:
    return {"global": {"models": given}}


def pin(traffic: dict[str, tuple[str, str]], revisions: tuple[str, ...] = (ONE, TWO)) -> Any:
    revision = {"repo": "a/b", "digest": f"sha256:{ONE:1<64}", "size": "1", "provenance": ""}
    return {
        "revisions": dict.fromkeys(revisions, revision),
        "traffic": {slot: {"commit": c, "weight": w} for slot, (c, w) in traffic.items()},
    }


def pinned(model: Any, pin: Any) -> dict[str, Any]:
    return {"global": {"models": {"chat": model}, "pins": {"chat": pin}}}


WHOLE = pin({"stable": (ONE, "100")})
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no store": (
        {"minio": {"enabled": False}},
        "objectStore.mode is embedded and minio.enabled is false: set minio.enabled: true, or",
    ),
    "two stores": (
        {"global": {"objectStore": {"mode": "external", "endpoint": "https://s3.example.com"}}},
        "objectStore.mode is external and minio.enabled is true: set minio.enabled: false, or",
    ),
    "a store nowhere": (
        {"global": {"objectStore": {"mode": "external"}}, "minio": {"enabled": False}},
        "nothing says where: set global.objectStore.endpoint",
    ),
    "no issuer": (
        {"keycloak": {"enabled": False}},
        "oidc.mode is embedded and keycloak.enabled is false: set keycloak.enabled: true, or",
    ),
    "two issuers": (
        {"global": {"oidc": {"mode": "external", "issuer": "https://sso.example.com"}}},
        "oidc.mode is external and keycloak.enabled is true: set keycloak.enabled: false, or",
    ),
    "an issuer nowhere": (
        {"global": {"oidc": {"mode": "external"}}, "keycloak": {"enabled": False}},
        "nothing says where: set global.oidc.issuer",
    ),
    "a store behind the wall": (
        {
            "global": {"objectStore": {"mode": "external", "endpoint": "https://s3.example.com"}},
            "minio": {"enabled": False},
        },
        "the network lets nothing out of vllm: name its addresses in an entry of",
    ),
    "an issuer behind the wall": (
        {"global": {"oidc": {"issuers": {"a": {"enabled": True, "issuer": "https://a.example"}}}}},
        "global.oidc.issuers.a is enabled, and the network lets nothing out of gateway",
    ),
    "a database behind the wall": (
        {"keycloak": {"database": {"mode": "external", "host": "db", "existingSecret": "s"}}},
        "the network lets nothing out of keycloak",
    ),
    "an engine behind the wall": (models(gpt=HOSTED), "the network lets nothing out of gateway"),
    "an external place without address": (
        {
            "global": {
                "network": {"external": {"a": {"enabled": True, "ports": [1], "from": ["vllm"]}}}
            }
        },
        "global.network.external.a must name either a cidr or namespaceLabels",
    ),
    "an ingress for nobody": (
        {"minio": {"ingress": {"enabled": True, "host": "s3.example.com"}}},
        "global.network.clients.minio lets nobody in: name the namespace",
    ),
    "an unknown profile": (
        models(chat={"enabled": True, "profile": "tpu"}),
        'models.chat.profile is "tpu", which global.profiles does not have: choose from cpu, gpu',
    ),
    "a disabled profile": (
        {"global": {"models": {"chat": CPU}, "profiles": {"cpu": {"enabled": False}}}},
        "set global.profiles.cpu.enabled: true, or choose another",
    ),
    "an external model nowhere": (
        models(gpt={"enabled": True, "target": "external"}),
        "set global.models.gpt.external.url",
    ),
    "one name twice": (
        models(chat=CPU, other={**CPU, "servedNames": ["other", "chat"]}),
        'global.models.chat and other are both served as "chat"',
    ),
    "a pin without a model": (
        {"global": {"pins": {"gone": WHOLE}}},
        "global.pins.gone pins a model that global.models does not have",
    ),
    "a pin of what others serve": (pinned(HOSTED, WHOLE), "pins a model that others serve"),
    "weights that do not add up": (
        pinned(CPU, pin({"stable": (ONE, "80"), "canary": (TWO, "10")})),
        "global.pins.chat.traffic adds up to 90 instead of 100",
    ),
    "traffic to nowhere": (
        pinned(CPU, pin({"stable": (TWO, "100")}, (ONE,))),
        f"global.pins.chat.traffic.stable names {TWO}, which is not in its revisions",
    ),
    "a canary without room": (
        pinned({**CPU, "rollout": "replace"}, pin({"stable": (ONE, "90"), "canary": (TWO, "10")})),
        "set global.models.chat.rollout: sideBySide, or promote without a canary",
    ),
    "steps without room": (
        {
            "global": {
                "models": {
                    "chat": {
                        **CPU,
                        "rollout": "replace",
                        "steps": [{"weight": 10, "pause": "5m"}],
                    }
                }
            }
        },
        "set global.models.chat.rollout: sideBySide, or leave the steps out",
    ),
    "a store without keys": (
        {
            "global": {"objectStore": {"mode": "external", "endpoint": "https://s3.example.com"}},
            "minio": {"enabled": False},
        },
        "nobody makes the hub's keys for it: set global.objectStore.users.hub.existingSecret",
    ),
    "pins without engines": (
        {**pinned(CPU, WHOLE), "vllm": {"enabled": False}},
        "models are pinned and vllm.enabled is false",
    ),
    "engines without a hub": (
        {**pinned(CPU, WHOLE), "modelHub": {"enabled": False}},
        "models are pinned and modelHub.enabled is false",
    ),
    "engines that cannot sign in": (
        {**pinned(CPU, WHOLE), "modelHub": {"auth": {"enabled": True, "kubernetes": False}}},
        "engines sign in to the hub with the cluster's tokens alone: set it to true",
    ),
    "monitors behind the wall": (
        {"monitoring": {"podMonitors": {"enabled": True}}},
        "name its namespace in global.network.monitoring.namespaceLabels",
    ),
    "two main issuers": (
        {"global": {"oidc": {"issuers": {"main": {"enabled": True, "issuer": "https://a"}}}}},
        "global.oidc.issuers.main has the name that the issuer in global.oidc.issuer has",
    ),
    "one audience for two": (
        {"global": {"oidc": {"audiences": {"hub": "a", "gateway": "a"}}}},
        "so a token for the one would open the other: give one of them another name",
    ),
    "two revisions of one name": (
        pinned(CPU, pin({"stable": (ONE, "100")}, (ONE, f"{ONE[:8]:2<40}"))),
        "global.pins.chat has two revisions that begin with 11111111",
    ),
    "an image that moves": (
        {"global": {"image": {"tag": "latest"}}},
        "set global.image.tag to a version: images are pinned, never latest",
    ),
    "an image that moves in a component": (
        {"keycloak": {"postgresql": {"image": {"tag": "latest"}}}},
        "set keycloak.postgresql.image.tag to a version",
    ),
    "pins twice": (
        {"global": {"pins": {"chat": WHOLE}, "pinsYaml": "x", "models": {"chat": CPU}}},
        "give the pins once",
    ),
    "pins that are no YAML": (
        {"global": {"pinsYaml": "x: ["}},
        "global.pinsYaml is no map in YAML: ",
    ),
    "pins without their place": (
        {"global": {"pinsYaml": "chat: {}"}},
        "global.pinsYaml has no map global.pins: give it the whole text of",
    ),
    "pins that are no map": (
        {"global": {"pinsYaml": "global: {pins: }"}},
        "global.pinsYaml has no map global.pins",
    ),
    "an environment that is no YAML": (
        {"keycloak": {"database": {"mode": "external", "host": "a: b", "existingSecret": "s"}}}
        | {"global": {"network": {"policies": False}, "caBundle": {"existingConfigMap": "a"}}},
        "Keycloak's environment is no map in YAML: ",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_refused(render: Render, name: str) -> None:
    values, sentence = CONTRADICTIONS[name]
    with pytest.raises(Refused) as refused:
        render(values)
    assert sentence in str(refused.value)


def test_all_contradictions_are_said_at_once(render: Render) -> None:
    with pytest.raises(Refused) as refused:
        render({"minio": {"enabled": False}, "keycloak": {"enabled": False}})
    assert "minio.enabled" in str(refused.value)
    assert "keycloak.enabled" in str(refused.value)


def test_helm_3_says_the_same(render: Render) -> None:
    with pytest.raises(Refused, match=r"minio\.enabled is false"):
        render({"minio": {"enabled": False}}, helm=3)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"gatway": {}}, "gatway"),
        ({"global": {"imageRegistri": "x"}}, "imageRegistri"),
        ({"global": {"imageRegistry": "https://registry.h"}}, "/global/imageRegistry"),
        ({"global": {"imageRegistry": "registry.h/"}}, "/global/imageRegistry"),
        ({"minio": {"image": {"registry": "oci://registry.h"}}}, "/minio/image/registry"),
        ({"global": {"image": {"tag": ""}}}, "/global/image/tag"),
        ({"global": {"objectStore": {"mode": "both"}}}, "/global/objectStore/mode"),
        ({"global": {"models": {"Chat": {"enabled": True}}}}, "Chat"),
        (models(chat={**CPU, "servedNames": ["a: b"]}), "/servedNames/0"),
        (models(chat={**CPU, "servedNames": ["gpt #1"]}), "/servedNames/0"),
        (models(chat={**CPU, "servedNames": ["chat@11111111"]}), "/servedNames/0"),
        ({"global": {"pins": {"chat": {**WHOLE, "revisions": {"1": {}}}}}}, "/global/pins/chat"),
        ({"minio": {"image": {"digest": "sha256:1"}}}, "/minio/image/digest"),
        ({"minio": {"storage": {"size": "large"}}}, "/minio/storage/size"),
        ({"keycloak": {"replicas": "two"}}, "/keycloak/replicas"),
        ({"modelHub": {"delivery": "carrier"}}, "/modelHub/delivery"),
        ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
        ({"vllm": {"podLabels": {"a": 1}}}, "/vllm/podLabels"),
        ({"modelHub": {"replicas": 1000}}, "/modelHub/replicas"),
        (models(chat={**CPU, "replicas": 100000}), "/global/models/chat/replicas"),
        ({"minio": {"resources": {"limits": {"cpu": -1}}}}, "/minio/resources/limits/cpu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_schema_refuses(render: Render, values: Any, where: str) -> None:
    with pytest.raises(Refused, match="specifications of the schema") as refused:
        render(values)
    assert where in str(refused.value)


@pytest.mark.parametrize("registry", ["r.h", "r.h:5000", "r.h:5000/a/b-c_d.e", "localhost:5000"])
def test_a_registry_is_a_host_with_a_port_and_a_path(render: Render, registry: str) -> None:
    objects = render({"global": {"imageRegistry": registry}})
    (envoy,) = named(objects, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"]
    assert envoy["image"].startswith(f"{registry}/envoyproxy/envoy:")


def test_pins_may_come_as_one_text(render: Render) -> None:
    dev = Path("values/dev.yaml")
    assert render(dev, {"global": {"pinsYaml": PINS.read_text()}}) == render(dev, PINS)


def test_pins_as_one_text_may_be_none_yet(render: Render) -> None:
    dev = Path("values/dev.yaml")
    assert render(dev, {"global": {"pinsYaml": Path("values/pins/dev.yaml").read_text()}})


@pytest.mark.parametrize("sample", ["external-s3", "external-oidc"])
@pytest.mark.parametrize("environment", ["test", "prod"])
def test_samples_fit_the_environments(render: Render, environment: str, sample: str) -> None:
    objects = render(f"values/{environment}.yaml", PINS, f"values/samples/{sample}.yaml")
    gone = {"external-s3": "minio", "external-oidc": "keycloak"}[sample]
    names = [one["metadata"]["name"] for one in objects]
    assert not [name for name in names if name.startswith(f"t-{gone}")]
    assert named(objects, "Deployment", "gateway")


def test_only_what_is_used_has_to_be_there(render: Render) -> None:
    off = {"enabled": False}
    objects = render({"minio": off, "keycloak": off, "modelHub": off, "gateway": {"auth": off}})
    assert named(objects, "Deployment", "gateway")
