"""Signing in with tokens of a real Keycloak, by the real client, to files on a real MinIO."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.integration.hub.conftest import FILES, Hub, contents, fill, hub_process, isolate_client
from tests.keycloak import Keycloak, header_of
from tests.services import Minio
from tests.unit.hub.models import REPO
from waybill.store.store import Store

ID = str(REPO)
# The first of these tests waits for Keycloak: half a minute, or minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

HASTY = (
    "from waybill.hub import auth, keys; from waybill.__main__ import run; "
    "auth.LEEWAY = 0; keys.FRESH = keys.PAUSE = 1; run()"
)
"""A hub whose keys age in a second, and that takes no clock to differ."""


@pytest.fixture(scope="module")
def shared_hub(
    keycloak: Keycloak, minio: Minio, in_bucket: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("auth")
    issuers = folder / "issuers.json"
    entry = {"name": "keycloak", "issuer": keycloak.issuer, "audience": "waybill-hub"}
    issuers.write_text(json.dumps({"issuers": [entry]}))
    options = ("--endpoint", minio.endpoint, "--auth", "required", "--issuers-file", str(issuers))
    manifest = fill(in_bucket)
    with hub_process(in_bucket.url, folder, manifest, *options, program=("-c", HASTY)) as hub:
        yield hub


@pytest.fixture
def hub(shared_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    isolate_client(shared_hub.url, tmp_path, monkeypatch)
    return shared_hub


def client(hub: Hub, token: str) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def reads(hub: Hub, token: str) -> int:
    """The status of one question with that token."""
    return hub.get(f"/api/models/{REPO}", Authorization=f"Bearer {token}").status_code


def test_the_client_signs_in(hub: Hub, keycloak: Keycloak) -> None:
    token = keycloak.token("engine")
    api = client(hub, token)
    assert contents(api.snapshot_download(ID)) == FILES
    # The files came from MinIO, which refuses a request that brings a token besides.
    assert len(hub.settled(r"HEAD /.*/resolve/.* 302 ")) == len(FILES)
    who = api.whoami()
    assert (who["type"], who["fullname"]) == ("user", "service-account-engine")
    assert token not in hub.log.read_text()


def test_the_command_line_client_with_a_token_in_a_file(
    hub: Hub, keycloak: Keycloak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(keycloak.token("engine") + "\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(file))
    target = tmp_path / "model"

    def hf(*words: str | Path) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / "hf"
        return subprocess.run([program, *words], capture_output=True, text=True)

    done = hf("download", ID, "--local-dir", target)
    assert done.returncode == 0, done.stderr
    assert {path: contents(target)[path] for path in FILES} == FILES
    assert "keycloak" in hub.get("/metrics").text
    assert hf("auth", "whoami").returncode == 0
    file.write_text(keycloak.token("stranger"))
    done = hf("download", ID, "--local-dir", tmp_path / "other")
    assert done.returncode == 1
    assert "it is not meant for this hub (aud)" in done.stderr


def test_who_is_refused(hub: Hub, keycloak: Keycloak) -> None:
    assert hub.get(f"/api/models/{REPO}").status_code == 401
    brief = keycloak.token("brief")
    time.sleep(2)
    for token, why in (
        (keycloak.token("stranger"), "it is not meant for this hub"),
        (brief, "it has expired"),
        ("hf_something", "it is no JSON web token"),
    ):
        with pytest.raises(HfHubHTTPError, match=why) as raised:
            client(hub, token).snapshot_download(ID)
        assert raised.value.response.status_code == 401
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            client(hub, token).hf_hub_download(ID, "config.json")
        assert token not in hub.log.read_text()


def test_new_keys_need_no_restart(hub: Hub, keycloak: Keycloak) -> None:
    old = keycloak.token("engine")
    assert reads(hub, old) == 200
    keycloak.rotate()
    new = keycloak.token("engine")
    assert header_of(new)["kid"] != header_of(old)["kid"]
    time.sleep(1)
    assert (reads(hub, new), reads(hub, old)) == (200, 200)


def test_a_keycloak_that_hangs_stops_nobody(hub: Hub, keycloak: Keycloak) -> None:
    token = keycloak.token("engine")
    assert reads(hub, token) == 200
    headers = {"Authorization": f"Bearer {token}"}
    with keycloak.hanging(), httpx.Client(trust_env=False, timeout=30, headers=headers) as http:
        time.sleep(1.5)
        begin = time.monotonic()
        answers = [http.get(f"{hub.url}/api/models/{REPO}") for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200}
        # Half a minute, if each of them waited for Keycloak.
        assert time.monotonic() - begin < 10
