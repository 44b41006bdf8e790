"""Packing from a real hub process: the same revision as from the directory, and bad lines."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import CUT, Faults, faulty
from tests.integration.bundle.conftest import Process, commit_in
from tests.integration.hub.conftest import Hub, hub_process
from tests.store_contents import noise
from tests.unit.bundle.bundles import new_store
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packing
from waybill.digest import Digest
from waybill.errors import SourceUnreachable
from waybill.manifest import Manifest
from waybill.source.connect import open_source
from waybill.source.reach import Reach
from waybill.store import layout
from waybill.store.layout import Ref, RepoId

FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Demo\n",
    "1_Pooling/config.json": b'{"pooling": "mean"}\n',
    "empty.txt": b"",
    "model.safetensors": noise(20_000_000, 3),
    "na\u00efve name.txt": b"accents and a space\n",
    "spiece.model": bytes(range(256)),
}


@dataclass(frozen=True)
class Upstream:
    """A hub whose store was loaded from `model`, and a line to it that may break."""

    hub: Hub
    line: Faults
    model: Path
    store: Path
    commit: str

    def pack(self, out: Path, *options: object) -> Process:
        source = f"hf://Acme/Demo@{self.commit}"
        arguments = (
            "pack",
            source,
            "--out",
            out,
            "--source-endpoint",
            self.line.endpoint,
            *options,
        )
        return Process(arguments, {"HF_HOME": str(out.parent / "huggingface")})


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    model, store = tmp_path / "model", tmp_path / "upstream"
    for path, data in FILES.items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(data)
    new_store(store)
    packed = Process(("pack", model, "--as", "Acme/Demo", "--out", tmp_path / "from-model")).run()
    Process(("sideload", tmp_path / "from-model", "--to", store, "--tag", "v1")).run()
    nothing = Manifest(())
    with hub_process(str(store), tmp_path, nothing) as hub, faulty(hub.url) as line:
        yield Upstream(hub, line, model, store, commit_in(packed))


def weights(method: str, path: str) -> bool:
    return method == "GET" and path.endswith("/model.safetensors")


def said(process: Process, code: int) -> str:
    with process.start() as running:
        _, err = running.communicate()
    assert running.returncode == code, err
    # The client itself says before that it tries again.
    assert re.search(r"^error: .+\nhint: .+\n\Z", err, re.MULTILINE)
    return err


def test_a_hub_and_a_directory_with_the_same_files_give_the_same_revision(
    upstream: Upstream, tmp_path: Path
) -> None:
    assert commit_in(upstream.pack(tmp_path / "out").run()) == upstream.commit
    (revision,) = Bundle.open([tmp_path / "out"]).index.revisions
    facts = json.loads(revision.statements[0])["predicate"]["buildDefinition"]
    assert facts["externalParameters"] == {
        "source": upstream.line.endpoint,
        "repo": "Acme/Demo",
        "commit": upstream.commit,
        "license": "apache-2.0",
        "dropped": {},
    }
    assert revision.upstream == upstream.commit


@pytest.mark.parametrize("revision", ["", "@main", "@v1"])
def test_a_branch_or_tag_is_resolved_to_its_commit(
    revision: str, upstream: Upstream, tmp_path: Path
) -> None:
    source = f"hf://acme/demo{revision}"
    options = ("--out", tmp_path / "out", "--source-endpoint", upstream.line.endpoint)
    told = Process(("pack", source, *options)).run()
    assert commit_in(told) == upstream.commit


def test_a_connection_that_breaks_in_the_middle_is_gone_on_with_by_range(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.line.next(CUT, weights, times=3)
    assert commit_in(upstream.pack(tmp_path / "out").run()) == upstream.commit
    assert upstream.line.done[CUT] == 3
    assert len(upstream.hub.lines(r"GET .*model\.safetensors.* 206")) >= 3


def test_a_line_that_always_breaks_is_an_error_and_a_rerun_goes_on(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.line.next(CUT, weights, times=1_000_000)
    told = said(upstream.pack(tmp_path / "out"), 7)
    assert f"error: the source {upstream.line.endpoint}/Acme/Demo cannot be read: " in told
    upstream.line.times = 0
    assert commit_in(upstream.pack(tmp_path / "out").run()) == upstream.commit


def test_wrong_bytes_from_upstream_are_refused(upstream: Upstream, tmp_path: Path) -> None:
    for name in ("model.safetensors", "README.md", "spiece.model"):
        blob = upstream.store / layout.blob(_digest(upstream, name))
        data = blob.read_bytes()
        blob.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        told = said(upstream.pack(tmp_path / name), 4)
        assert (
            f"error: {name} from {upstream.line.endpoint}/Acme/Demo is corrupt: expected " in told
        )
        assert not (tmp_path / name / "bundle.json").exists()
        blob.write_bytes(data)


def _digest(upstream: Upstream, name: str) -> Digest:
    store = new_store(upstream.store)
    return store.manifest(RepoId("Acme", "Demo"), upstream.commit).by_path[name].digest


def test_a_branch_that_moves_while_it_is_packed_gives_the_files_of_one_commit(
    upstream: Upstream, tmp_path: Path
) -> None:
    source = open_source("hf://Acme/Demo@main", Reach(endpoint=upstream.line.endpoint))
    packing = Packing.plan(source)
    (upstream.model / "README.md").write_bytes(b"newer")
    again = ("pack", upstream.model, "--as", "Acme/Demo", "--out", tmp_path / "newer")
    Process(again).run()
    Process(("sideload", tmp_path / "newer", "--to", upstream.store)).run()
    store = new_store(upstream.store)
    head = store.head(RepoId("Acme", "Demo"), Ref("heads", "main"))
    assert head is not None
    assert head.commit != upstream.commit
    index = packing.run([tmp_path / "out"]).index
    assert index.revisions[0].manifest.commit == upstream.commit


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("hf://some/other", "there is no repo some/other in http://"),
        ("hf://acme/demo@nothing", "acme/demo has no revision 'nothing' in http://"),
    ],
)
def test_what_the_hub_does_not_have_is_told_in_a_sentence(
    url: str, sentence: str, upstream: Upstream, tmp_path: Path
) -> None:
    options = ("--out", tmp_path / "out", "--source-endpoint", upstream.line.endpoint)
    told = said(Process(("pack", url, *options)), 2)
    assert sentence in told
    assert told.count("\n") == 2


def test_an_endpoint_that_is_away_is_told_in_a_sentence(tmp_path: Path) -> None:
    options = ("--out", tmp_path / "out", "--source-endpoint", "http://127.0.0.1:1")
    told = said(Process(("pack", "hf://acme/demo", *options)), 7)
    assert "error: the source http://127.0.0.1:1/acme/demo cannot be read: " in told
    assert told.count("\n") == 2


def test_offline_mode_is_told_in_a_sentence(tmp_path: Path) -> None:
    options = ("--out", tmp_path / "out", "--source-endpoint", "http://127.0.0.1:1")
    told = said(Process(("pack", "hf://acme/demo", *options), {"HF_HUB_OFFLINE": "1"}), 7)
    assert "offline" in told.lower()


def test_a_file_is_read_from_any_offset(upstream: Upstream) -> None:
    source = open_source(
        f"hf://acme/demo@{upstream.commit}", Reach(endpoint=upstream.line.endpoint)
    )
    for file in source.files():
        data = FILES[file.path]
        for offset in {0, len(data) // 2, len(data)}:
            with source.open(file, offset) as stream:
                assert stream.read() == data[offset:]
        assert source.is_unchanged(file)


def test_a_hub_that_goes_away_is_told_when_its_files_are_opened(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", waits.append)
    source = open_source(
        f"hf://acme/demo@{upstream.commit}", Reach(endpoint=upstream.line.endpoint)
    )
    files = source.files()
    upstream.hub.process.kill()
    upstream.hub.process.wait()
    with pytest.raises(SourceUnreachable, match="acme/demo cannot be read"):
        source.open(files[0]).read()
    assert 10 < sum(waits) < 60
