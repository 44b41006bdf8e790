"""The names and labels that dashboard and alerts ask the gateway for are those it has."""

import httpx

from tests.integration.gateway.conftest import CHAT, World
from tests.integration.test_metrics import compare


def test_envoy_has_the_metrics(world: World) -> None:
    assert world.ask().status_code == 200
    with world.gateway.client() as client:
        assert client.post(CHAT, json={"model": "chat"}).status_code == 401
    page = f"{world.gateway.address(9902)}/stats/prometheus"
    compare("gateway", "envoy_", httpx.get(page, trust_env=False).text)
