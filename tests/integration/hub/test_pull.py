"""`waybill pull --hub`: a real hub over a real MinIO, killed in the middle and brought back."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.bundle.conftest import Process, written
from tests.integration.hub.conftest import Hub
from tests.services import Minio, free_port, running
from tests.store_contents import noise
from tests.unit.hub import models
from tests.unit.hub.issuing import issuing
from waybill.manifest import Manifest
from waybill.store import layout
from waybill.store.connect import Access, connect
from waybill.store.pull import MANIFEST
from waybill.store.store import Store

FILES = {**models.FILES, "model.safetensors": noise(100_000_000, 5)}


@dataclass
class Place:
    """A filled store on MinIO, and hubs over it that always answer at the same address."""

    store: Store
    endpoint: str
    port: int
    folder: Path
    manifest: Manifest

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def hub(self, *options: object) -> Iterator[Hub]:
        command = [sys.executable, "-m", "waybill", "hub", "--store", self.store.url]
        command += ["--endpoint", self.endpoint, "--port", str(self.port), "--delivery", "proxy"]
        command += map(str, options)
        log = self.folder / "hub.log"
        with running(command, {}, log, f"{self.url}/readyz", 30) as process:
            yield Hub(self.url, log, process, self.manifest)

    def pull(self, out: Path, *options: object) -> Process:
        revision = f"{models.REPO}@{self.manifest.commit}"
        digest = self.manifest.descriptor.digest
        where = ("--hub", self.url, "--out", out, "--digest", digest)
        return Process(("pull", revision, *where, *options))


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, minio: Minio, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    in_bucket: Store = request.getfixturevalue("in_bucket")
    store = connect(f"{in_bucket.url}-pull", Access(endpoint=minio.endpoint))
    store.init()
    manifest = models.add(store, FILES)
    return Place(store, minio.endpoint, free_port(), tmp_path_factory.mktemp("hub"), manifest)


def assert_whole(out: Path) -> None:
    for path, data in FILES.items():
        found = hashlib.sha256((out / path).read_bytes()).hexdigest()
        assert found == hashlib.sha256(data).hexdigest(), path
    assert (out / MANIFEST).is_file()


def test_a_hub_killed_in_the_middle_and_brought_back_is_gone_on_with(
    place: Place, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with ExitStack() as stack:
        first = stack.enter_context(place.hub())
        process = stack.enter_context(place.pull(out, "--patience", 60).start())
        while written(out) < 10_000_000:
            time.sleep(0.002)
        first.process.kill()
        first.process.wait()
        with place.hub() as second:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
            assert second.lines(r"GET .*model\.safetensors.* 206 ")
    assert_whole(out)


def test_a_killed_pull_goes_on_within_its_file_and_a_whole_one_asks_nobody(
    place: Place, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with place.hub() as hub:
        assert place.pull(out).kill_when(lambda: written(out) > 20_000_000)
        assert not (out / "model.safetensors").exists()
        place.pull(out).run()
        assert hub.settled(r"GET .*model\.safetensors.* 206 ")
        assert_whole(out)
    told = place.pull(out).run()
    assert "0 files fetched" in told


def test_two_pulls_into_one_folder_are_both_content(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with place.hub() as hub:
        processes = [place.pull(out).start() for _ in range(2)]
        for process in processes:
            with process:
                _, said = process.communicate(timeout=120)
                assert process.returncode == 0, said
        assert len(hub.settled(r"GET .*model\.safetensors.* 200 ")) == 1
    assert_whole(out)


def test_check_reads_again_and_mends(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with place.hub():
        place.pull(out).run()
        with (out / "model.safetensors").open("r+b") as stream:
            stream.write(b"spoiled")
        assert "0 files fetched" in place.pull(out).run()
        assert "1 file fetched" in place.pull(out, "--check").run()
    assert_whole(out)


def test_wrong_bytes_in_the_bucket_never_become_a_file(place: Place, tmp_path: Path) -> None:
    key = layout.blob(place.manifest.by_path["config.json"].digest)
    data = place.store.backend.read(key)
    assert data is not None
    place.store.backend.replace(key, b"x" * len(data), data)
    try:
        with place.hub(), place.pull(tmp_path / "out").start() as process:
            _, said = process.communicate(timeout=60)
        assert process.returncode == 4
        assert "error: config.json from " in said
        assert not (tmp_path / "out" / "config.json").exists()
    finally:
        place.store.backend.replace(key, data, b"x" * len(data))


def wrong(place: Place) -> dict[str, tuple[str, int, str]]:
    commit = place.manifest.commit
    return {
        "a repo": (f"some/other@{commit}", 2, "there is no repo some/other in http://"),
        "a revision": (f"{models.REPO}@{'0' * 40}", 2, f"has no revision '{'0' * 40}' in http://"),
    }


@pytest.mark.parametrize("what", ["a repo", "a revision"])
def test_what_the_hub_lacks_is_told_in_a_sentence(what: str, place: Place, tmp_path: Path) -> None:
    revision, code, told = wrong(place)[what]
    with place.hub():
        process = Process(("pull", revision, "--hub", place.url, "--out", tmp_path / "out"))
        with process.start() as started:
            _, said = started.communicate(timeout=60)
    assert started.returncode == code
    assert told in said


def test_a_hub_that_is_not_there_is_given_up(place: Place, tmp_path: Path) -> None:
    with place.pull(tmp_path / "out", "--patience", 2).start() as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "trying again for" in said
    assert f"error: the source {place.url}/{models.REPO} cannot be read: " in said


def test_a_token_is_needed_where_the_hub_asks_for_one_and_read_anew(
    place: Place, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    with issuing() as issuer:
        (tmp_path / "issuers.json").write_text(json.dumps({"issuers": [issuer.entry()]}))
        asks = ("--auth", "required", "--issuers-file", tmp_path / "issuers.json")
        with place.hub(*asks):
            pull = place.pull(tmp_path / "out")
            pull.env["HF_TOKEN_PATH"] = str(token)
            token.write_text(issuer.token(exp=-3600))
            with pull.start() as process:
                _, said = process.communicate(timeout=120)
            assert process.returncode == 1
            assert "refuses access: " in said
            assert "the token is refused: it has expired" in said
            with pull.start() as process:
                # The kubelet exchanges it meanwhile.
                while "trying again" not in (process.stderr or pytest.fail()).readline():
                    pass
                token.write_text(issuer.token())
                _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    assert_whole(tmp_path / "out")
