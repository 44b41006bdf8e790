"""What Helm says after an install, and what `helm test` runs."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.rendering import CASES, CHART, HELM, PINS, Render, named
from tests.services import needs


def notes(*values: object) -> str:
    command = [needs(HELM[4]), "install", "t", str(CHART), "--namespace=ns", "--dry-run=client"]
    command += [f"--values={value}" for value in values]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.partition("NOTES:")[2]


def test_the_next_command_is_named() -> None:
    said = notes("values/dev.yaml")
    assert "Not served, as nothing pins them yet: chat, embed." in said
    assert "waybill pin ENV MODEL" in said
    assert "kubectl --namespace ns port-forward service/t-gateway 8080" in said
    assert "helm test t --namespace ns" in said


def test_the_gateways_own_certificate_is_in_its_address(tmp_path: Path) -> None:
    tls = tmp_path / "tls.yaml"
    tls.write_text("gateway: {tls: {secretName: a}}")
    said = notes("values/dev.yaml", tls)
    assert "https://t-gateway.ns.svc:8080/v1" in said and "https://localhost:8080/v1" in said


def test_what_is_served_is_named() -> None:
    said = notes("values/prod.yaml", PINS)
    assert "https://models.example.internal/v1" in said
    assert "It serves chat, embed." in said
    assert "Not served" not in said


def test_what_an_uninstall_keeps_is_named() -> None:
    asked = "get persistentvolumeclaims,secrets --selector app.kubernetes.io/instance=t"
    said = notes("values/dev.yaml")
    assert "keeps the volumes of MinIO and Keycloak" in said
    assert f"kubectl --namespace ns {asked}" in said
    assert "keeps the volumes of MinIO, " in notes(
        "values/prod.yaml", "values/samples/external-oidc.yaml"
    )


def test_the_test_asks_gateway_and_hub(render: Render) -> None:
    (container,) = named(render(*CASES["test"]), "Pod", "test")["spec"]["containers"]
    assert container["args"] == [
        "200=http://t-gateway.ns.svc:9902/ready",
        "401=http://t-gateway.ns.svc:8080/v1/models",
        "200=http://t-model-hub.ns.svc:8080/readyz",
        "401=http://t-model-hub.ns.svc:8080/api/whoami-v2",
    ]
    auth = {"auth": {"enabled": False}}
    (container,) = named(render({"gateway": auth, "modelHub": auth}), "Pod", "test")["spec"][
        "containers"
    ]
    assert not [one for one in container["args"] if one.startswith("401=")]


@pytest.fixture
def server() -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_test_passes_where_all_answer(server: str) -> None:
    subprocess.run(
        [sys.executable, CHART / "checks.py", f"200={server}", f"200={server}"],
        check=True,
        timeout=30,
    )
