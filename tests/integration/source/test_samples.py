"""Each import manifest of values/samples/sources, with real servers in the place of its hosts."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.bundle.conftest import Process
from tests.integration.gateway.certificates import Authority
from tests.integration.hub.conftest import hub_process
from tests.integration.source.conftest import FILES, Pack, write
from tests.integration.source.registry import FILEPATH, registry_server
from tests.integration.source.website import website
from tests.services import Minio
from waybill.bundle.media import Bundle
from waybill.manifest import Manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SAMPLES = Path(__file__).resolve().parents[3] / "values/samples/sources"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, a bundle of it, and a store that holds it as acme/demo@v1."""
    folder = tmp_path_factory.mktemp("loaded")
    write(folder / "demo")
    Process(("pack", folder / "demo", "--as", "acme/demo", "--out", folder / "bundle")).run()
    Process(("store", "init", folder / "store")).run()
    Process(("sideload", folder / "bundle", "--to", folder / "store", "--tag", "v1")).run()
    return folder


@pytest.fixture
def here(tmp_path: Path, minio: Minio, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what manifests name beside themselves, and the profile that they name."""
    authority, folder = Authority.new(), tmp_path / "here"
    folder.mkdir()
    (folder / "ca.crt").write_text(authority.pem)
    (folder / "token").write_text("right\n")
    for name, host in (("server", "localhost"), ("client", "packer")):
        authority.context(host, folder / name)
    (folder / "client/tls.crt").rename(folder / "client.crt")
    (folder / "client/tls.key").rename(folder / "client.key")
    keys = f"aws_access_key_id={minio.access_key}\naws_secret_access_key={minio.secret_key}\n"
    (tmp_path / "credentials").write_text(f"[models]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def same(here: Path, loaded: Path, pack: Pack) -> Callable[..., None]:
    """Packs a sample, with this in the place of that, and finds the revision of the directory."""

    def check(name: str, **places: str) -> None:
        text = (SAMPLES / f"{name}.yaml").read_text()
        for there, place in places.items():
            that = PLACES[there]
            assert that in text
            text = text.replace(that, place)
        (here / "import.yaml").write_text(text)
        bundle = pack("--manifest", here / "import.yaml")
        expected = Bundle.open([loaded / "bundle"]).index.revisions[0]
        found = bundle.index.revisions[0]
        assert (found.repo, found.manifest) == (expected.repo, expected.manifest)

    return check


PLACES = {
    "huggingface": "https://huggingface.co",
    "s3": "https://s3.example.com",
    "files": "https://files.example.com",
    "sum": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "registry": "registry.example.com",
    "hub": "hub+https://hub.example.com",
}
Same = Callable[..., None]


@pytest.fixture
def hub(loaded: Path, tmp_path: Path) -> Iterator[str]:
    with hub_process(str(loaded / "store"), tmp_path, Manifest(())) as hub:
        yield hub.url


def test_a_directory(here: Path, loaded: Path, same: Same) -> None:
    shutil.copytree(loaded / "demo", here / "demo")
    same("directory")


def test_hugging_face(hub: str, same: Same) -> None:
    same("hf", huggingface=hub)


def test_another_hub(hub: str, same: Same) -> None:
    same("hub", hub=f"hub+{hub}")


def test_s3(minio: Minio, s3: "S3Client", same: Same) -> None:
    s3.create_bucket(Bucket="team-models")
    for path, data in FILES.items():
        s3.put_object(Bucket="team-models", Key=f"acme/demo/{path}", Body=data)
    same("s3", s3=minio.endpoint)


def test_another_store(minio: Minio, s3: "S3Client", loaded: Path, same: Same) -> None:
    s3.create_bucket(Bucket="models")
    where = ("s3://models/prod", "--endpoint", minio.endpoint, "--profile", "models")
    Process(("store", "init", *where)).run()
    Process(("sideload", loaded / "bundle", "--tag", "v1", "--to", *where)).run()
    same("store", s3=minio.endpoint)


def test_a_web_server(here: Path, loaded: Path, tmp_path: Path, same: Same) -> None:
    folder = shutil.copytree(loaded / "demo", tmp_path / "files/acme/demo")
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in FILES.items()]
    (folder / "SHA256SUMS").write_text("".join(lines))
    pin = hashlib.sha256("".join(lines).encode()).hexdigest()
    with website(tmp_path / "files", here / "server", here / "ca.crt") as site:
        site.accepts = "Bearer right"
        same("http", files=site.url, sum=pin)


def test_a_registry(tmp_path: Path, same: Same) -> None:
    (tmp_path / "registry").mkdir()
    with registry_server(tmp_path / "registry") as registry:
        kind = "application/vnd.cncf.model.weight.v1.raw"
        layers = [
            registry.push(data, kind, "models/demo", **{FILEPATH: path})
            for path, data in FILES.items()
        ]
        config_type = "application/vnd.cncf.model.config.v1+json"
        config = registry.push(b"{}", config_type, "models/demo")
        image = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": image, "config": config, "layers": layers}
        registry.put(manifest, "v1", "models/demo")
        same("oci", registry=registry.host)


def test_a_claim_is_left_to_its_cluster(refused: Callable[..., tuple[int, str]]) -> None:
    code, said = refused("--manifest", SAMPLES / "pvc.yaml")
    assert code == 2
    assert "a claim is read in its cluster: waybill sideload --in-cluster" in said


def test_the_command_line_goes_before_the_manifest(here: Path, loaded: Path, pack: Pack) -> None:
    shutil.copy(SAMPLES / "directory.yaml", here / "import.yaml")
    bundle = pack(loaded / "demo", "--manifest", here / "import.yaml", "--as", "acme/other")
    assert str(bundle.index.revisions[0].repo) == "acme/other"
