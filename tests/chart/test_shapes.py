"""What an entry of a map can say: each key of it changes what is rendered."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import PINS, Object, Render
from waybill.generate import chart

OURS, HOSTED, ISSUER = (
    {"enabled": True, "profile": "one", "rollout": "sideBySide"},
    {"enabled": True, "target": "external"},
    {"enabled": True, "issuer": "https://a.example", "jwksUri": "https://a.example/keys"},
)
PROFILE = {
    "image": {"repository": "a"},
    "resources": {"limits": {"memory": "3Gi"}},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "runtimeClassName": "kata",
    "priorityClassName": "low",
    "shmSize": "3Gi",
    "surge": True,
    "loadRate": 1,
    "weights": {"type": "hostPath", "path": "/a"},
    "command": ["a"],
    "engineArgs": {"seed": 1},
    "env": {"A": "1"},
    "extraVolumes": [{"name": "a", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "models", "mountPath": "/a"}],
}
MODEL = {
    "target": "external",
    "profile": "two",
    "replicas": 3,
    "servedNames": ["a"],
    "engineArgs": {"seed": 1},
    "env": {"A": "1"},
    "rollout": "replace",
    "external": {"url": "https://a.example"},
}
EXTERNAL = {"url": "https://b.example", "model": "b", "existingSecret": "b", "key": "b"}
FURTHER = {
    "issuer": "https://b.example",
    "jwksUri": "https://b.example/keys",
    "audiences": {"hub": "b"},
    "algorithms": ["EdDSA"],
}
"""For each key a value that its entry does not have."""
CASES = [
    *(("profile", key, value) for key, value in PROFILE.items()),
    *(("model", key, value) for key, value in MODEL.items()),
    *(("external", key, value) for key, value in EXTERNAL.items()),
    *(("issuer", key, value) for key, value in FURTHER.items()),
]


def rendered(render: Render, shape: str, more: dict[str, Any]) -> list[Object]:
    external = {"url": "https://a.example", "existingSecret": "a"}
    pins = yaml.safe_load(PINS.read_text())["global"]["pins"]
    given = {
        "oidc": {"issuers": {"a": {**ISSUER, **(more if shape == "issuer" else {})}}},
        "profiles": {
            "one": {"enabled": True, **(more if shape == "profile" else {})},
            "two": {"enabled": True, "shmSize": "7Gi"},
        },
        "models": {
            "chat": {**OURS, **(more if shape == "model" else {})},
            "gpt": {**HOSTED, "external": {**external, **(more if shape == "external" else {})}},
        },
        "pins": {} if more.get("target") else {"chat": stable(pins["chat"])},
        "network": {"policies": False},
    }
    return render({"global": given})


def stable(pin: dict[str, Any]) -> dict[str, Any]:
    """Without its canary, which not every rollout has room for; its revision stays."""
    one, two = (pin["traffic"][slot]["commit"] for slot in ("stable", "canary"))
    shares = {
        "stable": {"commit": one, "weight": "100"},
        "previous": {"commit": two, "weight": "0"},
    }
    return {**pin, "traffic": shares}


@pytest.mark.parametrize(("shape", "key", "value"), CASES, ids=lambda value: str(value)[:20])
def test_each_key_is_read(render: Render, shape: str, key: str, value: Any) -> None:
    more = {"target": "external", "external": EXTERNAL} if key == "target" else {key: value}
    if (shape, key) == ("model", "external"):
        before = rendered(render, shape, {"target": "external", "external": EXTERNAL})
        assert rendered(render, shape, {"target": "external", key: value}) != before
    else:
        assert rendered(render, shape, more) != rendered(render, shape, {})


def test_no_key_is_left_out() -> None:
    shapes = chart.load(Path()).schema["$defs"]
    external = shapes["model"]["properties"]["external"]
    assert PROFILE.keys() | {"enabled"} == shapes["profile"]["properties"].keys()
    # `source` is for `waybill deploy`, the next for `waybill watch`, and none for a template.
    tools = {"source", "steps", "limits"}
    assert MODEL.keys() | {"enabled"} | tools == shapes["model"]["properties"].keys()
    assert EXTERNAL.keys() == external["properties"].keys()
    assert FURTHER.keys() | {"enabled"} == shapes["issuer"]["properties"].keys()
