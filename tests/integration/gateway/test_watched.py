"""What `waybill watch` reads of a gateway, from a real one: answers and errors of one slot."""

import httpx

from tests.integration.gateway.conftest import TWO, World
from waybill.deliver import live, metrics
from waybill.deliver.metrics import Look, Seen


def look(world: World, slot: str) -> Look:
    page = httpx.get(f"{world.gateway.address(9902)}/stats/prometheus", trust_env=False).text
    return metrics.of_gateway("g", page, slot)


def canary(world: World, requests: int = 60) -> tuple[Seen, int]:
    """What the metrics say that the canary did meanwhile, and how often it was asked."""
    before = look(world, "chat/canary")
    for _ in range(requests):
        world.ask()
    return metrics.between(before, look(world, "chat/canary")), len(world.two.received)


def test_requests_of_a_slot_are_counted(world: World) -> None:
    seen, asked = canary(world)
    assert (seen.requests, seen.errors) == (asked, 0)
    assert 0 < asked < 60


def test_errors_of_a_slot_are_counted(world: World) -> None:
    world.two.broken = True
    seen, asked = canary(world)
    assert seen.requests == seen.errors == asked > 0


def test_an_error_that_clients_never_see_is_counted_too(world: World) -> None:
    """A 503 is mended by another engine: its client gets an answer, and the canary is no better."""
    world.two.busy = 1000
    seen, asked = canary(world)
    assert seen.errors == asked > 0


def test_healthy_engines_of_a_revision_are_counted(world: World) -> None:
    page = httpx.get(f"{world.gateway.address(9902)}/stats/prometheus", trust_env=False).text
    assert live.healthy(page, f"chat@{TWO[:8]}") == 1
    assert live.healthy(page, "chat@none") == 0
