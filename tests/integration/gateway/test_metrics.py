"""The names that dashboard and alerts ask the gateway for are those it has."""

import re

import httpx

from tests.integration.gateway.conftest import CHAT, World
from tests.integration.test_metrics import asked


def test_envoy_has_the_metrics(world: World) -> None:
    assert world.ask().status_code == 200
    with world.gateway.client() as client:
        assert client.post(CHAT, json={"model": "chat"}).status_code == 401
    page = httpx.get(f"{world.gateway.address(9902)}/stats/prometheus", trust_env=False).text
    known = set(re.findall(r"^(envoy_\w+)", page, re.MULTILINE))
    assert asked("envoy_")
    assert asked("envoy_") <= known
