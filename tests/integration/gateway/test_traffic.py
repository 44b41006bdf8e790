"""Shares of revisions, and that no request is lost while they change or engines come and go."""

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.conftest import CHAT, ONE, TWO, World, pin, values
from tests.integration.gateway.peers import Issuer, Peer, engine, eventually
from tests.integration.gateway.process import Gateway, gateway
from tests.services import free_port

ENGINES = {"one": ONE, "two": TWO}


def asked(gate: Gateway, token: str, number: int) -> Counter[str]:
    """Who answered so many requests, or the status of those that failed."""
    with gate.client(token) as client:
        answers = [client.post(CHAT, json={"model": "chat"}) for _ in range(number)]
    return Counter(
        answer.json()["by"] if answer.status_code == 200 else str(answer.status_code)
        for answer in answers
    )


@contextmanager
def asking(gate: Gateway, token: str) -> Iterator[Counter[str]]:
    """Requests one after another from two clients, as long as the block takes."""
    counted: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            counted.update(asked(gate, token, 5))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def chat(issuers: list[Issuer], pins: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the one model, pinned so."""
    given = values(issuers)
    given["global"]["pins"] = {"chat": pins}
    return given


@pytest.fixture
def one() -> Iterator[Peer]:
    with engine(Peer("one")) as peer:
        yield peer


@pytest.fixture
def two() -> Peer:
    """A revision that is pinned and whose engine has not started."""
    return Peer("two", port=free_port())


@contextmanager
def pinned(
    folder: Path, issuers: list[Issuer], one: Peer, two: Peer, **weights: tuple[str, int]
) -> Iterator[Gateway]:
    ports = {f"vllm-chat-{ENGINES[peer.name][:8]}": peer.port for peer in (one, two)}
    with gateway(chat(issuers, pin(**weights)), ports, folder) as gate:
        yield gate


def test_revisions_get_their_share(world: World) -> None:
    """80 to 20: of 1,000 the canary gets 200, and 63 is five standard deviations."""
    counted = asked(world.gateway, world.token, 1000)
    assert set(counted) == {"one", "two"}
    assert 137 <= counted["two"] <= 263


def test_a_canary_gets_requests_only_while_it_answers(
    tmp_path: Path, issuers: list[Issuer], one: Peer, two: Peer
) -> None:
    token = issuers[0].token()
    with pinned(tmp_path, issuers, one, two, stable=(ONE, 50), canary=(TWO, 50)) as gate:
        assert asked(gate, token, 100) == {"one": 100}, "its engine has not started"
        with engine(two):
            # Health is asked for every 5 to 6 seconds.
            eventually(lambda: asked(gate, token, 10)["two"])
            with asking(gate, token) as counted:
                eventually(lambda: counted["two"] > 10)
                two.gone()
                before = sum(counted.values())
                eventually(lambda: sum(counted.values()) > before + 50)
        assert set(counted) == {"one", "two"}, "it died under load, and nothing was lost"
        assert asked(gate, token, 20) == {"one": 20}


def test_a_new_pin_takes_over_when_its_engine_is_up_and_nothing_is_lost_before(
    tmp_path: Path, issuers: list[Issuer], one: Peer, two: Peer
) -> None:
    token = issuers[0].token()
    with pinned(tmp_path, issuers, one, two, stable=(ONE, 100)) as gate, asking(gate, token) as new:
        gate.apply(chat(issuers, pin(stable=(TWO, 100), previous=(ONE, 0))))
        assert asked(gate, token, 50) == {"one": 50}, "its engine has not started"
        with engine(two):
            eventually(lambda: asked(gate, token, 10) == {"two": 10})
        assert set(new) == {"one", "two"}


def test_weights_move_without_a_restart_or_a_lost_request(
    tmp_path: Path, issuers: list[Issuer], one: Peer, two: Peer
) -> None:
    token = issuers[0].token()
    with (
        engine(two),
        pinned(tmp_path, issuers, one, two, stable=(ONE, 100), canary=(TWO, 0)) as gate,
    ):
        assert asked(gate, token, 30) == {"one": 30}
        with asking(gate, token) as counted:
            gate.apply(chat(issuers, pin(stable=(TWO, 100), previous=(ONE, 0))))
            eventually(lambda: asked(gate, token, 20) == {"two": 20})
            gate.apply(chat(issuers, pin(stable=(ONE, 100), previous=(TWO, 0))))
            eventually(lambda: asked(gate, token, 20) == {"one": 20})
        assert set(counted) == {"one", "two"}
        assert gate.process.poll() is None


def test_a_revision_comes_and_goes_and_its_last_stream_ends_well(
    tmp_path: Path, issuers: list[Issuer], one: Peer, two: Peer
) -> None:
    token = issuers[0].token()
    alone = chat(issuers, pin(stable=(ONE, 100)))
    with (
        engine(two),
        pinned(tmp_path, issuers, one, two, stable=(ONE, 100), previous=(TWO, 0)) as gate,
        gate.client(token) as client,
        asking(gate, token) as counted,
    ):
        body = {"model": f"chat@{TWO[:8]}"}
        with client.stream("POST", CHAT, json=body | {"stream": True}) as answer:
            lines = answer.iter_lines()
            next(lines)
            gate.apply(alone)
            eventually(lambda: client.post(CHAT, json=body).status_code == 404)
            two.go_on.set()
            assert "data: [DONE]" in list(lines)
        gate.apply(chat(issuers, pin(stable=(ONE, 100), canary=(TWO, 0))))
        eventually(lambda: client.post(CHAT, json=body).status_code == 200)
    assert set(counted) == {"one"}


def test_an_engine_that_is_busy_is_asked_again(world: World) -> None:
    world.three.busy = 2
    assert world.ask("cheap").status_code == 200
    assert len(world.three.received) == 3


def test_an_engine_that_fails_is_not_asked_again(world: World) -> None:
    world.three.broken = True
    answer = world.ask("cheap")
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "three")
    assert len(world.three.received) == 1


def test_nobody_answers(tmp_path: Path, issuers: list[Issuer], two: Peer) -> None:
    gone = Peer("one", port=free_port())
    with (
        pinned(tmp_path, issuers, gone, two, stable=(ONE, 100), canary=(TWO, 0)) as gate,
        gate.client(issuers[0].token()) as client,
    ):
        answer = client.post(CHAT, json={"model": "chat"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "model_unavailable")


def test_a_pod_that_ends_finishes_its_streams_first(
    tmp_path: Path, issuers: list[Issuer], one: Peer, two: Peer
) -> None:
    """The script of the preStop hook, against an Envoy of its own."""
    body = {"model": "chat", "stream": True}
    with (
        pinned(tmp_path, issuers, one, two, stable=(ONE, 100), canary=(TWO, 0)) as gate,
        gate.client(issuers[0].token()) as client,
        gate.client(base_url=gate.address(9902)) as metrics,
    ):
        with client.stream("POST", CHAT, json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            script = tmp_path / "gateway" / "drain.sh"
            environment = os.environ | {"ADMIN_PORT": str(gate.places.ports[9901])}
            drain = subprocess.Popen(["bash", script, "60"], env=environment)
            eventually(lambda: metrics.get("/ready").status_code == 503)
            assert client.get("/v1/models").status_code == 200, "late requests are still answered"
            assert metrics.get("/live").status_code == 200
            with pytest.raises(subprocess.TimeoutExpired):
                drain.wait(7)
            one.go_on.set()
            assert "data: [DONE]" in list(lines)
        assert drain.wait(10) == 0


def test_it_is_ready_before_its_neighbours_are(tmp_path: Path, issuers: list[Issuer]) -> None:
    """A first install: no engine has an address in the DNS, and the issuer does not answer."""
    given = values(issuers)
    given["global"]["oidc"] |= {"jwksUri": f"http://127.0.0.1:{free_port()}/keys"}
    with gateway(given, {}, tmp_path) as gate:
        with gate.client(issuers[1].token()) as client:
            assert client.get("/v1/models").status_code == 200
            assert client.post(CHAT, json={"model": "chat"}).status_code == 503
        with gate.client(issuers[0].token()) as client:
            assert client.get("/v1/models").status_code == 401
