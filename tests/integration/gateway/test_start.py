"""A gateway that has just begun: what it may answer once it says that it is Ready."""

from pathlib import Path

from tests.integration.gateway.conftest import values
from tests.integration.gateway.peers import Issuer, issuer
from tests.integration.gateway.process import gateway
from tests.services import free_port


def test_the_first_request_waits_for_no_keys_however_slow_the_issuer_is(tmp_path: Path) -> None:
    with (
        issuer("slow", slow=2) as slow,
        gateway(values([slow]), {}, tmp_path) as begun,
        begun.client(slow.token()) as client,
    ):
        answer = client.get("/v1/models")
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 1, "the issuer takes two"


def test_an_issuer_that_is_away_does_not_keep_the_others_out(tmp_path: Path) -> None:
    with issuer("here") as here:
        away = Issuer("https://away.example.com", f"http://127.0.0.1:{free_port()}/keys", here.key)
        with gateway(values([here, away]), {}, tmp_path) as begun:
            for signer, status in ((here, 200), (away, 401)):
                with begun.client(signer.token()) as client:
                    assert client.get("/v1/models").status_code == status
