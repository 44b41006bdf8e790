"""A revision in another store, and in another hub, as a source."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import BROKEN, NOT_HERE, faulty
from tests.integration.bundle.conftest import Process
from tests.integration.gateway.certificates import Authority
from tests.integration.hub.conftest import hub_process
from tests.integration.source.conftest import FILES, Pack, contents, write
from tests.integration.source.website import website
from tests.services import Minio
from tests.unit.sign.making import asking, signer, write_key
from waybill.errors import (
    BadValue,
    NotAStore,
    RepoNotFound,
    RevisionNotFound,
    SourceUnreachable,
    TooMuchSaid,
    WaybillError,
)
from waybill.manifest import Manifest, git_blob_id
from waybill.sign import trust
from waybill.source.base import Origin
from waybill.source.connect import open_source
from waybill.source.reach import Reach


def load(store: str, model: Path, folder: Path, *options: object, key: Path | None = None) -> str:
    """A store that holds the model as acme/demo; the model's commit there."""
    signed = ("--key", key) if key else ()
    Process(("store", "init", store, *options)).run()
    Process(("pack", model, "--as", "acme/demo", "--out", folder, *signed)).run()
    Process(("sideload", folder, "--to", store, "--tag", "v1", *options)).run()
    reach = Reach(endpoint=str(options[1])) if options else Reach()
    return str(open_source(f"store+{store}#acme/demo", reach).origin.commit)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("elsewhere")
    load((folder / "store").as_uri(), write(folder / "model"), folder / "loaded")
    return (folder / "store").as_uri()


@pytest.fixture
def hub(store: str, tmp_path: Path) -> Iterator[str]:
    with hub_process(store, tmp_path, Manifest(())) as hub:
        yield hub.url


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A trust policy that asks for a signature by release.pem beside it."""
    made = signer()
    write_key(tmp_path / "release.pem", made.private)
    return asking(tmp_path / "trust.yaml", made)


@pytest.mark.parametrize("revision", ["", "@main", "@v1"])
def test_a_revision_of_a_store_is_read_by_branch_or_tag(revision: str, store: str) -> None:
    source = open_source(f"store+{store}#acme/demo{revision}")
    assert contents(source) == FILES
    assert all(file.digest for file in source.files())


def test_what_comes_from_a_store_is_the_same_revision(store: str, pack: Pack) -> None:
    source = open_source(f"store+{store}#acme/demo")
    bundle = pack(f"store+{store}#acme/demo")
    revision = bundle.index.revisions[0]
    assert source.origin == Origin(store, "acme/demo", revision.manifest.commit, "apache-2.0")
    assert str(revision.repo) == "acme/demo"


def test_an_upstream_commit_goes_on_with_the_revision(
    store: str, tmp_path: Path, pack: Pack
) -> None:
    folder = shutil.copytree(store.removeprefix("file://"), tmp_path / "store")
    store = folder.as_uri()
    commit = str(open_source(f"store+{store}#acme/demo").origin.commit)
    upstream = "a" * 40
    place = folder / f"repos/models/acme/demo/aliases/{upstream}"
    place.parent.mkdir(parents=True)
    place.write_text(f"{commit}\n")
    for revision in ("main", upstream, commit):
        source = open_source(f"store+{store}#acme/demo@{revision}")
        assert source.origin.commit == upstream
    bundle = pack(f"store+{store}#acme/demo")
    assert bundle.index.revisions[0].upstream == upstream


def test_a_store_in_a_bucket_is_read_in_the_same_way(
    minio: Minio, bucket: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", minio.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", minio.secret_key)
    place = f"s3://{bucket}/models"
    load(place, model, tmp_path / "loaded", "--endpoint", minio.endpoint)
    source = open_source(f"store+{place}#acme/demo@v1", Reach(endpoint=minio.endpoint))
    assert contents(source) == FILES


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("#acme/other", RepoNotFound),
        ("#acme/demo@v2", RevisionNotFound),
        ("/other#acme/demo", NotAStore),
        ("#demo", BadValue),
    ],
)
def test_what_a_store_does_not_have_is_told(
    end: str, error: type[WaybillError], store: str
) -> None:
    with pytest.raises(error):
        open_source(f"store+{store}{end}").files()


def test_a_bundle_is_not_written_into_the_store_it_comes_from(store: str) -> None:
    source = open_source(f"store+{store}#acme/demo")
    assert source.holds(Path(store.removeprefix("file://")) / "out")


@pytest.mark.usefixtures("default_client")
def test_a_hub_has_to_be_trusted(tmp_path: Path) -> None:
    authority, commit = Authority.new(), "c" * 40
    authority.context("localhost", tmp_path / "server")
    (tmp_path / "ca.crt").write_text(authority.pem)
    file = {"rfilename": "config.json", "size": 2, "blobId": git_blob_id(b"{}")}
    told = {"id": "acme/demo", "sha": commit, "siblings": [file]}
    for path, data in {
        "api/models/acme/demo/revision/main": json.dumps(told).encode(),
        f"acme/demo/resolve/{commit}/config.json": b"{}",
    }.items():
        (tmp_path / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / path).write_bytes(data)
    with website(tmp_path / "files", tmp_path / "server") as site:
        url = f"hub+{site.url}#acme/demo"
        with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            open_source(url).files()
        trusting = Reach(ca_bundle=str(tmp_path / "ca.crt"))
        assert contents(open_source(url, trusting)) == {"config.json": b"{}"}


def test_a_revision_of_a_hub_is_read_and_stays_the_same(
    hub: str, store: str, tmp_path: Path
) -> None:
    home = {"HF_HOME": str(tmp_path / "huggingface")}
    told = Process(("pack", f"hub+{hub}#acme/demo@v1", "--out", tmp_path / "out"), home).run()
    assert str(open_source(f"store+{store}#acme/demo").origin.commit) in told


def test_a_hub_of_another_kind_has_no_signatures_however_it_says_so(hub: str) -> None:
    with faulty(hub) as line:
        source = f"hub+{line.endpoint}#acme/demo@v1"
        line.next(NOT_HERE, lambda _, path: "/signatures/" in path)
        assert open_source(source).origin.signed == ()
        assert line.done[NOT_HERE] == 1
        line.next(BROKEN, lambda _, path: "/signatures/" in path, times=99)
        with pytest.raises(SourceUnreachable, match="answered 500"):
            _ = open_source(source).origin


def test_who_signed_a_revision_of_a_hub_is_asked_for_where_it_goes(
    tmp_path: Path, policy: Path
) -> None:
    """Each of several signatures comes along, byte for byte; a hub of another kind has none."""
    there, here = (f"file://{tmp_path / name}" for name in ("there", "here"))
    load(there, write(tmp_path / "model"), tmp_path / "out", key=tmp_path / "release.pem")
    Process(("store", "init", here)).run()
    sign = ("sign", there, "--repo", "acme/demo@v1", "--key", tmp_path / "release.pem")
    (tmp_path / "result.json").write_text('{"good": true}')
    Process((*sign, "--statement", tmp_path / "result.json", "--predicate-type", "urn:x")).run()
    home = {"HF_HOME": str(tmp_path / "huggingface")}
    to = ("--to", here, "--trust", policy)
    with hub_process(there, tmp_path, Manifest(())) as hub:
        Process(("sideload", f"hub+{hub.url}#acme/demo@v1", *to), home).run()
        known = [set(open_source(f"store+{url}#acme/demo").origin.signed) for url in (there, here)]
        assert known[0] == known[1] and len(known[0]) == 4
        with pytest.MonkeyPatch.context() as patch, pytest.raises(TooMuchSaid):
            patch.setattr(trust, "ENVELOPES", 3)
            _ = open_source(f"hub+{hub.url}#acme/demo@v1").origin
        plain = ("sideload", "hf://acme/demo@v1", "--source-endpoint", hub.url, *to)
        with Process(plain, home).start() as process:
            _, said = process.communicate()
    assert (process.returncode, "is not signed, and " in said) == (3, True)
