"""Streams pass event by event, end upstream when a client leaves, and are accounted for."""

import json

from tests.integration.gateway.conftest import CHAT, World
from tests.integration.gateway.peers import eventually

BODY = {"model": "cheap", "stream": True}


def test_the_first_event_arrives_before_the_last_is_sent(world: World) -> None:
    with (
        world.gateway.client(world.token) as client,
        client.stream("POST", CHAT, json=BODY) as answer,
    ):
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        first = next(lines)
        world.three.go_on.set()
        rest = list(lines)
    assert json.loads(first.removeprefix("data: ")) == {"by": "three", "n": 0}
    assert [line[:10] for line in rest] == ['data: {"n"', 'data: {"n"', 'data: {"ch', "data: [DON"]


def test_a_client_that_leaves_ends_the_work_of_the_engine(world: World) -> None:
    with (
        world.gateway.client(world.token) as client,
        client.stream("POST", CHAT, json=BODY) as answer,
    ):
        next(answer.iter_lines())
    assert world.three.cancelled.wait(10)
    assert len(world.three.received) == 1, "it was not tried again"


def test_tokens_of_a_stream_are_in_the_log(world: World) -> None:
    world.three.go_on.set()
    request = world.ask(json=BODY).headers["x-request-id"]
    entries = world.gateway.logged
    eventually(lambda: any(entry["request"] == request for entry in entries()))
    entry = next(entry for entry in entries() if entry["request"] == request)
    assert (entry["prompt_tokens"], entry["completion_tokens"]) == (3, 5)
