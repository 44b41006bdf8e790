"""Temporary keys that expire in the middle: MinIO gives them for an issuer's token, for as long."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults import faulty
from tests.integration.conftest import client_of
from tests.integration.faults.commands import Starter
from tests.integration.faults.conftest import (
    OTHERS,
    SIZE,
    Field,
    assert_loaded,
    assert_nothing_visible,
    assert_one_sentence,
    keys_of,
    new_field,
    wait_for,
)
from tests.services import Minio, minio_server, needs
from tests.unit.hub.issuing import AUDIENCE, DISCOVERY, Issuing, issuing

SECONDS = 8
RATE = ("--limit-rate", f"{SIZE // (SECONDS + 4)}")
"""What was begun in time may be sent to its end; the upload cannot be completed any more."""


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuing]:
    """One that MinIO trusts."""
    with issuing() as server:
        server.others = []
        monkeypatch.setenv("MINIO_IDENTITY_OPENID_CONFIG_URL", server.url + DISCOVERY)
        monkeypatch.setenv("MINIO_IDENTITY_OPENID_CLIENT_ID", AUDIENCE)
        yield server


@pytest.fixture
def federated(issuer: Issuing, tmp_path: Path) -> Iterator[Field]:  # noqa: ARG001
    """On a server of its own."""
    (tmp_path / "minio").mkdir()
    program = needs("WAYBILL_TEST_MINIO")
    with minio_server(program, tmp_path / "minio") as server, client_of(server) as client:
        starter = Starter(tmp_path / "said", keys_of(server))
        yield new_field(tmp_path / "project", server, client, starter)


def keys_for(server: Minio, token: str) -> dict[str, str]:
    """AssumeRoleWithWebIdentity: without DurationSeconds they live as long as the token."""
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15"}
    answer = httpx.post(server.endpoint, data={**asked, "WebIdentityToken": token}, trust_env=False)
    assert answer.is_success, answer.text

    def given(name: str) -> str:
        found = re.search(f"<{name}>(.*?)</{name}>", answer.text)
        assert found, answer.text
        return found[1]

    return {
        "AWS_ACCESS_KEY_ID": given("AccessKeyId"),
        "AWS_SECRET_ACCESS_KEY": given("SecretAccessKey"),
        "AWS_SESSION_TOKEN": given("SessionToken"),
    }


def test_new_ones_finish_what_the_old_ones_began(
    federated: Field, issuer: Issuing, bundle: Path
) -> None:
    def keys(seconds: int) -> dict[str, str]:
        return keys_for(federated.server, issuer.token(exp=seconds, policy="readwrite"))

    sideload = ("sideload", bundle, "--to", "dev")
    command = federated.start(*sideload, *RATE, env=keys(SECONDS))
    wait_for(lambda: federated.there("dev") > 0, command)
    assert command.end() == 1, command.said
    assert_one_sentence(command.said, "refuses access: InvalidAccessKeyId")
    assert "hint: check the credentials, which expire if they are temporary, " in command.said
    assert_nothing_visible(federated.store("dev"))
    there = federated.there("dev")
    with faulty(federated.server.endpoint) as wire:
        federated.place(endpoint=wire.endpoint)
        again = federated.start(*sideload, env=keys(300))
        assert again.end() == 0, again.said
    assert SIZE - there <= wire.sent <= SIZE - there + OTHERS
    assert_loaded(federated.store("dev"))
    assert federated.unfinished("dev") == []
