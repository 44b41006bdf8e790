"""One gateway that most tests share, with the peers around it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.integration.gateway.peers import Issuer, Peer, engine, issuer
from tests.integration.gateway.process import Gateway, gateway

ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40

CHAT = "/v1/chat/completions"
OPEN = {"policies": False}
PLENTY = {"limits": {"requestsPerMinute": 1_000_000}}
OURS = {"enabled": True, "profile": "cpu", "rollout": "sideBySide"}


def pin(**weights: tuple[str, int]) -> dict[str, Any]:
    """pin(stable=(COMMIT, WEIGHT), …): what `waybill pin` writes for one model."""
    revision = {"repo": "acme/tiny", "digest": "sha256:" + "0" * 64, "size": "1", "provenance": ""}
    return {
        "revisions": {commit: revision for commit, _ in weights.values()},
        "traffic": {
            slot: {"commit": commit, "weight": str(weight)}
            for slot, (commit, weight) in weights.items()
        },
    }


def values(signers: list[Issuer], **more: Any) -> dict[str, Any]:
    """Two models of ours, one of them with a canary; `more` goes into `global`."""
    first, *others = signers
    oidc = {
        "mode": "external",
        "issuer": first.issuer,
        "jwksUri": first.jwks_uri,
        "issuers": {
            f"more{number}": {"enabled": True, "issuer": one.issuer, "jwksUri": one.jwks_uri}
            for number, one in enumerate(others)
        },
    }
    models = {
        "chat": OURS | {"servedNames": ["chat", "acme/Chat"]},
        "cheap": OURS,
    }
    pins = {
        "chat": pin(stable=(ONE, 80), canary=(TWO, 20)),
        "cheap": pin(stable=(THREE, 100)),
    }
    return {
        "gateway": dict(PLENTY),
        "global": {"oidc": oidc, "models": models, "pins": pins, "network": OPEN} | more,
    }


@dataclass(frozen=True)
class World:
    gateway: Gateway
    issuers: list[Issuer]
    one: Peer
    two: Peer
    three: Peer

    @property
    def token(self) -> str:
        return self.issuers[0].token()

    def ask(self, model: str = "chat", **options: Any) -> httpx.Response:
        """One chat with a good token; options are httpx's."""
        with self.gateway.client(self.token) as client:
            return client.post(CHAT, **{"json": {"model": model}} | options)


@pytest.fixture(scope="session")
def issuers() -> Iterator[list[Issuer]]:
    with issuer("login") as first, issuer("partner") as second:
        yield [first, second]


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory, issuers: list[Issuer]) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        peers = [stack.enter_context(engine(Peer(name))) for name in ("one", "two", "three")]
        running = stack.enter_context(gateway(values(issuers), ports(*peers), folder))
        yield World(running, issuers, *peers)


@pytest.fixture
def world(shared: World) -> World:
    """The shared gateway; its peers are as new."""
    for peer in (shared.one, shared.two, shared.three):
        peer.received.clear()
        peer.go_on.clear()
        peer.cancelled.clear()
        peer.busy, peer.broken = 0, False
    return shared


def ports(one: Peer, two: Peer, three: Peer) -> dict[str, int]:
    return {
        f"vllm-chat-{ONE[:8]}": one.port,
        f"vllm-chat-{TWO[:8]}": two.port,
        f"vllm-cheap-{THREE[:8]}": three.port,
    }
