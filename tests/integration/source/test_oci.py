"""Artifacts of a real registry: ModelPack, ModelKit, what oras pushes; sign-in; what is refused."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import oras.client
import pytest

from tests.faults import CUT, faulty, gets
from tests.integration.bundle.conftest import Process
from tests.integration.source.conftest import FILES, Pack, contents, packed_from_directory
from tests.integration.source.registry import (
    FILEPATH,
    TITLE,
    Registry,
    TokenService,
    registry_server,
    tar,
    zipped,
)
from tests.store_contents import noise
from waybill.errors import (
    Corrupt,
    NotAModel,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    UnsafePath,
)
from waybill.source.base import Source
from waybill.source.connect import open_source
from waybill.store.audit import audit, inventory
from waybill.store.connect import connect
from waybill.store.layout import RepoId

Refused = Callable[..., tuple[int, str]]
MODEL = FILES["model.safetensors"]
WEIGHT, DOC = "application/vnd.cncf.model.weight.v1", "application/vnd.cncf.model.doc.v1"
MODELPACK = "application/vnd.cncf.model.config.v1+json"
KIT = "application/vnd.kitops.modelkit"
KIT_CONFIG = f"{KIT}.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry_server(tmp_path_factory.mktemp("registry")) as server:
        yield server


def at(registry: Registry, reference: str = ":v1") -> Source:
    return open_source(f"oci://{registry.host}/demo{reference}")


def of_raw_layers(registry: Registry) -> str:
    layers = [
        registry.push(data, f"{WEIGHT}.raw", **{FILEPATH: path}) for path, data in FILES.items()
    ]
    return registry.artifact(layers, MODELPACK)


def without(*paths: str) -> dict[str, bytes]:
    return {path: data for path, data in FILES.items() if path not in paths}


# The kinds of artifacts.


def test_a_modelpack_of_raw_layers_is_read_with_its_digests(registry: Registry) -> None:
    digest = of_raw_layers(registry)
    for reference in (":v1", f"@{digest}", f":other@{digest}"):
        source = at(registry, reference)
        assert contents(source) == FILES
        assert all(file.digest for file in source.files())
        assert source.origin.source == f"oci://{registry.host}/demo@{digest}"
        assert source.origin.license == "apache-2.0"


@pytest.mark.parametrize("end", [".tar", ".tar+gzip"])
def test_a_modelpack_of_archives_is_read(end: str, registry: Registry) -> None:
    pack = zipped if end.endswith("gzip") else bytes
    model, rest = {"model.safetensors": MODEL}, without("model.safetensors")
    layers = [
        registry.push(pack(tar(model)), f"{WEIGHT}{end}", **{FILEPATH: "model.safetensors"}),
        registry.push(pack(tar(rest)), f"{DOC}{end}", **{FILEPATH: "."}),
    ]
    registry.artifact(layers, MODELPACK)
    assert contents(at(registry)) == FILES


@pytest.mark.parametrize("end", [".tar", ".tar+gzip"])
def test_a_modelkit_is_read(end: str, registry: Registry) -> None:
    pack = zipped if end.endswith("gzip") else bytes
    layers = [
        registry.push(pack(tar({"model.safetensors": MODEL})), f"{KIT}.model.v1{end}"),
        registry.push(pack(tar(without("model.safetensors"))), f"{KIT}.docs.v1{end}"),
    ]
    registry.artifact(layers, KIT_CONFIG, {"model": {"path": "model.safetensors"}})
    assert contents(at(registry)) == FILES


@pytest.mark.parametrize("source", ["raw", "kit"])
def test_an_artifact_gives_the_revision_that_the_directory_gives(
    source: str, registry: Registry, model: Path, pack: Pack
) -> None:
    if source == "raw":
        of_raw_layers(registry)
    else:
        layers = [registry.push(zipped(tar(FILES)), f"{KIT}.model.v1.tar+gzip")]
        registry.artifact(layers, KIT_CONFIG, {"model": {"path": "."}})
    bundle = pack(f"oci://{registry.host}/demo:v1", "--as", "acme/demo")
    assert bundle.index.revisions[0].manifest.commit == packed_from_directory(pack, model)


def test_archives_go_straight_into_a_store(registry: Registry, tmp_path: Path) -> None:
    layers = [
        registry.push(zipped(tar({f"{name}.dat": noise(2_000_000, seed)})), f"{KIT}.{kind}")
        for seed, (name, kind) in enumerate([("z", "model.v1.tar+gzip"), ("a", "docs.v1.tar+gzip")])
    ]
    many = {f"{at}.txt": noise(200_000, at) for at in range(8)}
    layers.append(registry.push(zipped(tar(many)), f"{KIT}.code.v1.tar+gzip"))
    registry.artifact(layers, KIT_CONFIG, {"model": {"path": "z.dat"}})
    store = connect((tmp_path / "store").as_uri())
    store.init()
    source = f"oci://{registry.host}/demo:v1"
    command = ("sideload", source, "--as", "acme/demo", "--to", store.url)
    Process((*command, "--quiet")).run()
    (commit,) = store.revisions(RepoId("acme", "demo"))
    files = store.manifest(RepoId("acme", "demo"), commit).files
    assert [file.path for file in files] == [*sorted(many), "a.dat", "z.dat"]
    assert audit(store, inventory(store)).wrong == {}


def test_what_oras_pushes_is_read_files_and_folders(
    registry: Registry, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    client = oras.client.OrasClient(insecure=True)
    names = ["README.md", "config.json", "empty.txt", "model.safetensors", "1_Pooling"]
    client.push(target=f"{registry.host}/demo:v1", files=names, quiet=True)
    assert contents(at(registry)) == FILES


def test_a_folder_that_says_it_is_to_be_unpacked_is_read(registry: Registry) -> None:
    notes = {TITLE: "1_Pooling", "io.deis.oras.content.unpack": "true"}
    kind = "application/vnd.oci.image.layer.v1.tar"
    data = tar({"1_Pooling/config.json": b"{}"})
    registry.artifact([registry.push(zipped(data), f"{kind}+gzip", **notes)], EMPTY)
    assert contents(at(registry)) == {"1_Pooling/config.json": b"{}"}
    # A file that is an archive, and was pushed as a file, stays what it is.
    file = registry.push(data, kind, **{TITLE: "data.tar"})
    registry.artifact([file], EMPTY)
    assert contents(at(registry)) == {"data.tar": data}


def test_an_index_of_one_artifact_leads_to_it(registry: Registry) -> None:
    digest = of_raw_layers(registry)
    kind = "application/vnd.oci.image.index.v1+json"
    size = registry.blob(digest).stat().st_size
    one = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest}
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": [{**one, "size": size}]}
    registry.put(index, "one")
    assert at(registry, ":one").origin.source.endswith(f"@{digest}")
    registry.put({**index, "manifests": [{**one, "size": size}] * 2}, "two")
    with pytest.raises(NotAModel, match="it is an index of several manifests"):
        at(registry, ":two").files()


def test_a_tag_that_moves_meanwhile_gives_the_files_of_one_artifact(registry: Registry) -> None:
    of_raw_layers(registry)
    source = at(registry)
    assert source.files()
    registry.artifact([registry.push(b"new", f"{WEIGHT}.raw", **{FILEPATH: "new"})], MODELPACK)
    assert contents(source) == FILES
    assert contents(at(registry)) == {"new": b"new"}


def test_a_connection_that_breaks_is_gone_on_with(registry: Registry) -> None:
    of_raw_layers(registry)
    with faulty(f"http://{registry.host}") as line:
        source = open_source(f"oci://{line.endpoint.removeprefix('http://')}/demo:v1")
        assert source.files()
        line.next(CUT, gets, times=3)
        assert contents(source) == FILES
    assert line.done[CUT] == 3


# What is refused.


@pytest.mark.parametrize(
    ("layers", "config", "why"),
    [
        ([("rootfs", "application/vnd.oci.image.layer.v1.tar+gzip", {})], EMPTY, "a layer of the"),
        ([("x", f"{WEIGHT}.tar+zstd", {FILEPATH: "x"})], MODELPACK, "type .*zstd, whose files"),
        ([("x", f"{WEIGHT}.raw", {})], MODELPACK, "whose files cannot be told"),
        ([("x", f"{WEIGHT}.tar+gzip", {})], MODELPACK, "it is no tar archive"),
        ([("x" * 2000, f"{WEIGHT}.tar", {})], MODELPACK, "it is no tar archive"),
    ],
)
def test_what_is_no_model_is_told(
    layers: list[tuple[str, str, dict[str, str]]], config: str, why: str, registry: Registry
) -> None:
    pushed = [registry.push(text.encode(), kind, **notes) for text, kind, notes in layers]
    registry.artifact(pushed, config)
    with pytest.raises(NotAModel, match=why):
        at(registry).files()


def test_a_modelkit_around_the_model_of_another_is_told(registry: Registry) -> None:
    layers = [registry.push(tar({"README.md": b"x"}), f"{KIT}.docs.v1.tar")]
    registry.artifact(layers, KIT_CONFIG, {"model": {"path": "host/other:v1"}})
    with pytest.raises(NotAModel, match="its model is in another ModelKit, host/other:v1"):
        at(registry).files()


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b"])
def test_a_path_that_leaves_is_refused(path: str, registry: Registry) -> None:
    raw = registry.push(b"x", f"{WEIGHT}.raw", **{FILEPATH: path})
    archive = registry.push(tar({path: b"x"}), f"{WEIGHT}.tar")
    for layer in (raw, archive):
        registry.artifact([layer], MODELPACK)
        with pytest.raises(UnsafePath):
            at(registry).files()


def test_links_and_a_file_of_two_layers_are_refused(registry: Registry) -> None:
    link = registry.push(tar({}, {"a": "/etc/passwd"}), f"{WEIGHT}.tar")
    registry.artifact([link], MODELPACK)
    with pytest.raises(UnsafePath, match="it is not a regular file"):
        at(registry).files()
    layers = [registry.push(data, f"{WEIGHT}.raw", **{FILEPATH: "a"}) for data in (b"x", b"y")]
    registry.artifact(layers, MODELPACK)
    with pytest.raises(UnsafePath, match="several layers have it"):
        at(registry).files()


@pytest.mark.parametrize("kind", ["raw", "tar", "tar+gzip"])
def test_a_blob_that_is_not_what_its_digest_says_is_refused(
    kind: str, registry: Registry, refused: Refused
) -> None:
    data = {"raw": MODEL, "tar": tar(FILES), "tar+gzip": zipped(tar(FILES))}[kind]
    note = {FILEPATH: "model.safetensors"} if kind == "raw" else {}
    layer = registry.push(data, f"{WEIGHT}.{kind}", **note)
    registry.artifact([layer], MODELPACK)
    blob = registry.blob(layer["digest"])
    good = blob.read_bytes()
    middle = len(good) // 2
    blob.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    code, said = refused(f"oci://{registry.host}/demo:v1", "--as", "a/b")
    blob.write_bytes(good)
    assert code == 4
    assert "is corrupt: expected " in said


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(registry: Registry) -> None:
    digest = of_raw_layers(registry)
    blob = registry.blob(digest)
    good = blob.read_bytes()
    blob.write_bytes(good.replace(b"README", b"REAPER"))
    with pytest.raises((Corrupt, SourceUnreachable)):
        at(registry, f"@{digest}").files()
    blob.write_bytes(good)


def test_what_is_not_there_is_told(registry: Registry) -> None:
    with pytest.raises(SourceNotFound, match="answered 404 Not Found"):
        at(registry, ":no-such-tag").files()
    with pytest.raises(SourceUnreachable, match=r"127\.0\.0\.1:1/demo:v1 cannot be read"):
        open_source("oci://127.0.0.1:1/demo:v1").files()


def test_plain_http_is_for_loopback_or_when_asked_for(registry: Registry) -> None:
    of_raw_layers(registry)
    assert open_source(f"oci+http://{registry.host}/demo:v1").files()
    # Any other name means TLS, which this registry does not speak.
    port = registry.host.partition(":")[2]
    with pytest.raises(SourceUnreachable):
        open_source(f"oci://127.0.0.1.nip.invalid:{port}/demo:v1").files()


# Signing in.


@pytest.fixture(scope="module")
def tokens() -> TokenService:
    return TokenService()


@pytest.fixture(scope="module")
def closed(
    tokens: TokenService, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """The same content behind a token service."""
    of_raw_layers(registry)
    folder = tmp_path_factory.mktemp("closed")
    (folder / "jwks.json").write_text(json.dumps(tokens.jwks))
    (folder / "data").symlink_to(registry.folder)
    with tokens.serve() as realm:
        token = {
            "realm": realm,
            "service": "test registry",
            "issuer": "test issuer",
            "jwks": str(folder / "jwks.json"),
            "signingalgorithms": ["ES256"],
        }
        with registry_server(folder, auth={"token": token}) as server:
            yield server


@pytest.fixture
def docker(tmp_path: Path) -> Callable[[object], None]:
    """Writes ~/.docker/config.json."""
    (tmp_path / "home" / ".docker").mkdir()

    def write(config: object) -> None:
        (tmp_path / "home/.docker/config.json").write_text(json.dumps(config))

    return write


Docker = Callable[[object], None]


def basic(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_a_registry_that_nobody_signed_in_to_is_told(closed: Registry) -> None:
    with pytest.raises(SourceRefused, match="answered 401") as caught:
        at(closed).files()
    assert "docker login" in caught.value.advice


def test_a_password_is_exchanged_for_a_token(
    closed: Registry, tokens: TokenService, docker: Docker
) -> None:
    docker({"auths": {closed.host: basic("robot", tokens.password)}})
    tokens.given.clear()
    assert contents(at(closed)) == FILES
    assert tokens.given == ["password"]


def test_an_identity_token_is_exchanged_for_a_token(
    closed: Registry, tokens: TokenService, docker: Docker
) -> None:
    docker({"auths": {f"https://{closed.host}/v1/": {"identitytoken": tokens.identity}}})
    tokens.given.clear()
    assert contents(at(closed)) == FILES
    assert tokens.given == ["identity token"]


def test_a_wrong_password_is_told(closed: Registry, docker: Docker) -> None:
    docker({"auths": {closed.host: basic("robot", "wrong-word")}})
    with pytest.raises(SourceRefused) as caught:
        at(closed).files()
    assert "wrong-word" not in str(caught.value)


def test_a_registry_that_asks_for_a_password_itself_gets_it(
    registry: Registry, docker: Docker, tmp_path: Path
) -> None:
    of_raw_layers(registry)
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "data").symlink_to(registry.folder)
    # bcrypt of `only-here`: the registry takes no other hash, and Python has none of these.
    (tmp_path / "htpasswd").write_text(
        "robot:$2b$04$5ws1ppVel2S5W8ABvIwrTexrX1duVLUynZpwx4FxM/jZ.QeqdE20y\n"
    )
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    with registry_server(tmp_path / "closed", auth=auth) as closed:
        with pytest.raises(SourceRefused):
            at(closed).files()
        docker({"auths": {closed.host: basic("robot", "only-here")}})
        assert contents(at(closed)) == FILES
