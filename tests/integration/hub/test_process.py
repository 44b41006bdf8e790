"""The hub as a process: signals, slow and lost clients, memory, stores that come and go."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import httpx
import pytest

from tests.integration.hub.conftest import FILES, Hub, fill, hub_process
from tests.services import free_port, needs, running
from tests.unit.hub import models
from tests.unit.hub.models import REPO, UPSTREAM
from waybill import digest as digests
from waybill.manifest import File, Manifest
from waybill.store.connect import Access, connect
from waybill.store.store import Store

SPARSE = 1 << 30


def sparse(store: Store) -> Manifest:
    """A revision with one file of zeros that takes no room on the disk."""
    entry = File("model.safetensors", digests.of(b"zeros"), SPARSE)
    manifest = Manifest.of([entry])
    store.add_revision(REPO, manifest)
    path = store.backend.local_path(f"blobs/sha256/{digests.hex_of(entry.digest)}")
    assert path
    with path.open("wb") as stream:
        stream.truncate(SPARSE)
    return manifest


def address(manifest: Manifest) -> str:
    return f"/{REPO}/resolve/{manifest.commit}/model.safetensors"


@pytest.fixture
def streaming(in_directory: Store, tmp_path: Path) -> Iterator[Hub]:
    with hub_process(in_directory.url, tmp_path, sparse(in_directory)) as hub:
        yield hub


def peak(hub: Hub) -> int:
    """Most bytes of memory that the hub has ever held."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def eventually(hub: Hub, pattern: str) -> str:
    for _ in range(100):
        if lines := hub.lines(pattern):
            return lines[-1]
        time.sleep(0.1)
    raise AssertionError(f"{pattern} not in\n{hub.log.read_text()}")


def test_streaming_needs_no_memory_of_the_files_size(streaming: Hub) -> None:
    streaming.get("/readyz")
    before = peak(streaming)
    received = 0
    with httpx.stream(
        "GET", streaming.url + address(streaming.manifest), trust_env=False
    ) as answer:
        for chunk in answer.iter_raw():
            received += len(chunk)
    assert received == SPARSE
    assert peak(streaming) - before < 50 << 20


def test_a_client_that_goes_away_ends_the_reading(streaming: Hub) -> None:
    with httpx.stream(
        "GET", streaming.url + address(streaming.manifest), trust_env=False
    ) as answer:
        next(answer.iter_raw())
    line = eventually(streaming, "safetensors 200 ")
    assert int(line.split(" 200 ")[1].split()[0]) < SPARSE
    blob = digests.hex_of(streaming.manifest.files[0].digest)
    opened = Path(f"/proc/{streaming.process.pid}/fd").iterdir()
    assert not any(blob in str(path.resolve()) for path in opened)


def test_a_truncated_blob_is_no_whole_download(streaming: Hub, in_directory: Store) -> None:
    blob = digests.hex_of(streaming.manifest.files[0].digest)
    path = in_directory.backend.local_path(f"blobs/sha256/{blob}")
    assert path
    with path.open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(httpx.RemoteProtocolError, match="closed"):
        streaming.get(address(streaming.manifest))
    assert "stopped in the middle" in eventually(streaming, "corrupt")


def test_sigterm_lets_a_download_finish(streaming: Hub) -> None:
    with httpx.stream(
        "GET", streaming.url + address(streaming.manifest), trust_env=False
    ) as answer:
        chunks = answer.iter_raw()
        received = len(next(chunks))
        streaming.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", int(streaming.url.rpartition(":")[2])))
        received += sum(map(len, chunks))
    assert received == SPARSE
    assert streaming.process.wait(10) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_hub_stops_at_once(streaming: Hub, stop: signal.Signals) -> None:
    streaming.process.send_signal(stop)
    assert streaming.process.wait(10) == 0
    assert streaming.log.read_text().splitlines()[-1].endswith("stopped")


def refusal(*options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "waybill", "hub", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.splitlines()[0]


def test_what_cannot_start_says_so_in_a_sentence(in_directory: Store) -> None:
    assert refusal() == (
        2,
        "error: store '' is not usable: name it with --store or WAYBILL_HUB_STORE",
    )
    code, said = refusal("--store", "ftp://x/y")
    assert (code, "store 'ftp://x/y' is not usable" in said) == (2, True)
    # Names below .invalid never exist; nor do labels so long.
    code, said = refusal("--store", in_directory.url, "--host", "no.such.invalid")
    assert code == 2
    assert "address 'no.such.invalid:8080' is not usable: " in said
    assert "Unknown error" not in said
    code, said = refusal("--store", in_directory.url, "--host", "é" * 64)
    assert (code, "address" in said) == (2, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = refusal("--store", in_directory.url, "--port", str(port))
    assert code == 2
    assert said.endswith(f"address '127.0.0.1:{port}' is not usable: Address already in use")


# A MinIO that stops and comes back.


class Restartable:
    """A MinIO on a fixed port that keeps its data while it is down."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._address = folder, f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://{self._address}"

    def up(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        data = str(self._folder / "data")
        command = [needs("WAYBILL_TEST_MINIO"), "server", "--quiet"]
        command += ["--address", self._address, data]
        env = {
            "MINIO_ROOT_USER": "restartable",
            "MINIO_ROOT_PASSWORD": "restartable-secret",
            "MINIO_BROWSER": "off",
            "HOME": str(self._folder),
        }
        health = f"{self.endpoint}/minio/health/ready"
        return running(command, env, self._folder / "minio.log", health, 30)


@pytest.fixture
def restartable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restartable:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "restartable")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "restartable-secret")
    return Restartable(tmp_path)


def stored(server: Restartable) -> Store:
    store = connect("s3://models/dev", Access(endpoint=server.endpoint))
    store.backend.client.create_bucket(Bucket="models")  # type: ignore[attr-defined]
    return store


@pytest.mark.parametrize("delivery", ["redirect", "proxy"])
def test_a_store_that_is_lost_and_comes_back(
    restartable: Restartable, tmp_path: Path, delivery: str
) -> None:
    options = ("--endpoint", restartable.endpoint, "--delivery", delivery)
    config = f"/{REPO}/resolve/{UPSTREAM}/config.json"
    with restartable.up():
        store = stored(restartable)
        manifest = fill(store)
        hub_of = hub_process(store.url, tmp_path, manifest, *options)
        hub = hub_of.__enter__()
        assert hub.get(config).status_code == (302 if delivery == "redirect" else 200)
    try:
        begin = time.monotonic()
        answer = hub.get(f"/api/models/{REPO}/revision/main")
        assert time.monotonic() - begin < 10
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "cannot be reached" in answer.json()["error"]
        assert hub.get("/readyz").status_code == 200
        assert hub.get(f"/api/models/{REPO}/revision/{UPSTREAM}").json()["sha"] == UPSTREAM
        assert hub.get(config).status_code == (302 if delivery == "redirect" else 503)
        with restartable.up():
            assert hub.get(f"/api/models/{REPO}").json()["sha"] == manifest.commit
            with httpx.Client(trust_env=False, follow_redirects=True) as client:
                assert client.get(hub.url + config).content == FILES["config.json"]
    finally:
        hub_of.__exit__(None, None, None)


def test_a_hub_starts_before_its_store(restartable: Restartable, tmp_path: Path) -> None:
    with restartable.up():
        store = stored(restartable)
        manifest = fill(store)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "waybill", "hub", "--store", store.url]
    command += ["--endpoint", restartable.endpoint, "--port", str(port)]
    log = tmp_path / "hub.log"
    with running(command, {}, log, f"{url}/healthz", 30) as process:
        hub = Hub(url, log, process, manifest)
        answer = hub.get("/readyz")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        with restartable.up():
            assert hub.get("/readyz").status_code == 200
            assert hub.get(f"/api/models/{REPO}").json()["sha"] == manifest.commit


def test_sigterm_ends_a_hub_whose_store_hangs(tmp_path: Path) -> None:
    """A server that takes connections and never answers, as one that was stopped does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "waybill", "hub", "--store", "s3://models/dev"]
        command += ["--endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}"]
        command += ["--port", str(port)]
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        with running(command, keys, tmp_path / "hub.log", f"{url}/healthz", 30) as process:
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"{url}/api/models/{REPO}", trust_env=False, timeout=2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_sigterm_ends_a_hub_whose_store_hangs_in_a_download(
    restartable: Restartable, tmp_path: Path
) -> None:
    with restartable.up() as server:
        store = stored(restartable)
        store.init()
        manifest = models.add(store, {"model.safetensors": secrets.token_bytes(64 << 20)})
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        short = (
            "from waybill.cli import hub; hub.GRACE = 2; from waybill.__main__ import run; run()"
        )
        command = [sys.executable, "-c", short, "hub", "--store", store.url, "--port", str(port)]
        command += ["--endpoint", restartable.endpoint, "--delivery", "proxy"]
        log = tmp_path / "hub.log"
        with (
            running(command, {}, log, f"{url}/readyz", 30) as process,
            httpx.stream("GET", url + address(manifest), trust_env=False, timeout=60) as answer,
        ):
            chunks = answer.iter_raw()
            next(chunks)
            server.send_signal(signal.SIGSTOP)
            try:
                process.send_signal(signal.SIGTERM)
                begin = time.monotonic()
                with suppress(httpx.HTTPError):
                    list(chunks)
                assert process.wait(10) == 0
                assert time.monotonic() - begin < 10
            finally:
                server.send_signal(signal.SIGCONT)
        assert "stopped" in log.read_text()
