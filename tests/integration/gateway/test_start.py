"""A gateway that has just begun: what it may answer once it says that it is Ready."""

import os
import socket
import subprocess
from pathlib import Path

from tests.integration.gateway.conftest import CHAT, values
from tests.integration.gateway.peers import Issuer, eventually, issuer
from tests.integration.gateway.process import Gateway, gateway
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


def test_a_name_server_that_says_nothing_does_not_keep_it_away(tmp_path: Path) -> None:
    """It is Ready before `gateway` gives it up, and says of the engines what is true."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, issuer("here") as here:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with (
            gateway(values([here]), {}, tmp_path, name_server=port) as begun,
            begun.client(here.token()) as client,
        ):
            assert client.post(CHAT, json={"model": "chat"}).status_code == 503
        assert silent.recv(512), "it was asked"


def test_a_pod_has_not_started_before_it_has_the_main_issuers_keys(tmp_path: Path) -> None:
    """Keycloak is replaced together with the gateway: the old pod answers until the new one can."""
    port = free_port()
    with issuer("late", port=port) as late:
        pass
    with gateway(values([late]), {}, tmp_path) as begun, begun.client(late.token()) as client:
        assert client.get("/v1/models").status_code == 401
        assert started(begun) == 0, "nobody needs keys where nobody signs in"
        assert started(begun, "keys-of-main") == 1
        with issuer("late", port=port, key=late.key):
            eventually(lambda: started(begun, "keys-of-main") == 0)
            assert client.get("/v1/models").status_code == 200
        assert started(begun, "keys-of-main") == 0, "what it had once it keeps"


def started(begun: Gateway, *cluster: str) -> int:
    """The exit code of the startup probe's script."""
    script = begun.places.folder / "gateway" / "started.sh"
    environment = os.environ | {"ADMIN_PORT": str(begun.places.ports[9901])}
    return subprocess.run(["bash", script, *cluster], env=environment).returncode
