"""Each user of a real MinIO can do its work, and nothing else."""

import dataclasses
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests import services
from tests.integration.deliver.conftest import Place, Provision, new_keys, new_place, reach
from tests.services import Minio, needs, running
from tests.store_contents import Bytes, blob_of, noise
from tests.unit.bundle.bundles import FILES, MAIN, pack, write
from tests.unit.bundle.bundles import REPO as BUNDLED
from tests.unit.release.world import REPO, World
from waybill.cli.main import main
from waybill.deliver.provision_objectstore import USERS, Keys, ObjectStore
from waybill.digest import PIECE
from waybill.errors import AccessDenied, Interrupted
from waybill.store import layout
from waybill.store.base import BytesContent, no_progress
from waybill.store.connect import Access, connect
from waybill.store.layout import Ref, RepoId
from waybill.store.lease import held, last_prune
from waybill.store.prune import Plan, Retention, carry_out, survey
from waybill.store.s3 import S3Backend
from waybill.store.store import Store

PIN = Ref.pin("test", "chat")


def delete(store: Store, key: str) -> None:
    """What no command does; below the store's own prefix unless it starts with a slash."""
    backend = store.backend
    assert isinstance(backend, S3Backend)
    objects = [{"Key": key[1:] if key.startswith("/") else f"models/{key}"}]
    answer = backend.client.delete_objects(Bucket=backend.bucket, Delete={"Objects": objects})  # type: ignore[typeddict-item]
    if answer.get("Errors"):
        raise AccessDenied(url=store.url, why=answer["Errors"][0]["Code"])


def move(store: Store, repo: RepoId, ref: Ref, commit: str) -> None:
    store.move(repo, ref, commit, expected=store.head(repo, ref), by="a test", why="to see")


@pytest.fixture
def bundled(place: Place, tmp_path: Path) -> str:
    """A commit that the sideload user has brought."""
    pack(write(tmp_path / "model", FILES), tmp_path / "bundle", part_size=4_000_000_000)
    where = ["--to", place.url, *reach(place, "sideload")]
    assert main(["sideload", str(tmp_path / "bundle"), *where]) == 0
    return place.store("sideload").resolve(BUNDLED, "main")


def test_a_second_run_changes_nothing(place: Place, provision: Provision) -> None:
    before = place.store("hub").facts
    assert provision(place)["result"] == {
        "url": place.url,
        "madeBucket": False,
        "users": list(USERS),
        "removed": [],
    }
    assert place.store("hub").facts == before


def test_the_hub_reads(place: Place, bundled: str) -> None:
    store = place.store("hub")
    manifest = store.manifest(BUNDLED, bundled)
    for file in manifest.files:
        assert store.has(file.descriptor)
        store.verify(file.descriptor)
    assert store.resolve(BUNDLED, "main") == bundled
    assert store.revisions(BUNDLED) == [bundled]
    assert store.backend.read("no/such/key") is None


def test_the_hub_does_not_write(place: Place, bundled: str) -> None:
    store = place.store("hub")
    data = noise(100)
    for attempt in (
        lambda: store.upload(blob_of(data), BytesContent(data)),
        lambda: store.backend.create(f"{layout.REPOS}x", b"x"),
        lambda: store.backend.replace(layout.STORE, b"{}", store.backend.read(layout.STORE)),
        lambda: move(store, BUNDLED, Ref("heads", "other"), bundled),
        lambda: delete(store, layout.STORE),
    ):
        with pytest.raises(AccessDenied):
            attempt()


@pytest.mark.parametrize("user", ["sideload", "promote"])
def test_writers_send_blobs_in_pieces_and_go_on(place: Place, user: str) -> None:
    data = noise(PIECE + 1000, seed=len(user))
    backend = place.store(user).backend
    key = layout.blob(blob_of(data).digest)

    def stop(_: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        backend.upload(key, blob_of(data), Bytes(data), stop)
    assert backend.upload(key, blob_of(data), Bytes(data), no_progress)
    place.store("hub").verify(blob_of(data))


def test_sideload_moves_branches_and_no_pins(place: Place, bundled: str) -> None:
    store = place.store("sideload")
    assert store.head(BUNDLED, MAIN)
    with pytest.raises(AccessDenied):
        move(store, BUNDLED, PIN, bundled)


def test_promote_moves_pins(place: Place, tmp_path: Path) -> None:
    """From a directory into this MinIO, by the command."""
    world = World(tmp_path / "project")
    (world.project / "values").mkdir(parents=True)
    reached = {"store": place.url, "endpoint": place.server.endpoint, "profile": "promote"}
    environments = {"environments": {"dev": {"store": "stores/dev"}, "test": reached}}
    (world.project / "values/environments.yaml").write_text(yaml.safe_dump(environments))
    world.store("dev").init()
    commit = world.revision("dev", 1).commit
    world.pin("dev", commit)
    world.promote("dev", "test")
    assert world.ref("test") == commit
    head = place.store("hub").head(REPO, PIN)
    assert head is not None
    assert head.commit == commit


@pytest.mark.parametrize("user", ["sideload", "promote"])
def test_writers_delete_nothing_that_is_stored(place: Place, user: str, bundled: str) -> None:
    store = place.store(user)
    manifest = store.manifest(BUNDLED, bundled)
    for key in (
        layout.STORE,
        layout.blob(manifest.descriptor.digest),
        layout.ref(BUNDLED, MAIN),
        "/models-of-others",
    ):
        with pytest.raises(AccessDenied):
            delete(store, key)


def prune(store: Store) -> Plan:
    with held(store, "a test") as lease:
        plan = survey(store, Retention(age=0))
        carry_out(plan, lease)
    return plan


def test_prune_deletes_what_no_ref_needs_and_writes_nothing_else(
    place: Place, bundled: str
) -> None:
    store, data = place.store("prune"), noise(100, seed=9)
    place.store("sideload").upload(blob_of(data), BytesContent(data))
    # What is of this second has the age 0, if the server's clock goes on.
    time.sleep(1.1)
    noted = prune(store)
    assert layout.blob(blob_of(data).digest) in {one.stat.key for one in noted.noted}
    assert len(prune(store).doomed) == len(noted.noted)
    assert not store.has(blob_of(data)) and store.revisions(BUNDLED) == [bundled]
    for attempt in (
        lambda: store.upload(blob_of(data), BytesContent(data)),
        lambda: store.backend.create(f"{layout.REPOS}x", b"x"),
        lambda: move(store, BUNDLED, Ref("heads", "other"), bundled),
        lambda: store.backend.delete(layout.STORE, store.backend.now() + 60),
        lambda: store.backend.delete(layout.ref(BUNDLED, MAIN), store.backend.now() + 60),
    ):
        with pytest.raises(AccessDenied):
            attempt()


@pytest.mark.parametrize("user", ["hub", "sideload", "promote"])
def test_others_do_not_prune(place: Place, user: str, bundled: str) -> None:  # noqa: ARG001
    store = place.store(user)
    assert survey(store, Retention()).doomed == ()
    with pytest.raises(AccessDenied):
        prune(store)
    assert last_prune(place.store("hub")) is not None


def test_promote_does_not_make_stores(place: Place) -> None:
    backend = place.store("promote").backend
    with pytest.raises(AccessDenied):
        backend.replace(layout.STORE, b"{}", backend.read(layout.STORE))


@pytest.mark.parametrize("user", USERS)
def test_what_lies_beside_the_store_is_closed(place: Place, user: str) -> None:
    bucket = place.url.removeprefix("s3://").partition("/")[0]
    beside = connect(f"s3://{bucket}/models-of-others", Access(place.server.endpoint, user))
    with pytest.raises(AccessDenied):
        beside.backend.read("secret")
    with pytest.raises(AccessDenied):
        list(beside.backend.list(""))
    with pytest.raises(AccessDenied):
        beside.backend.create("mine", b"x")


def test_strangers_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for keys in (new_keys("stranger"), dataclasses.replace(place.keys("hub"), secret="wrong" * 8)):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret)
        with pytest.raises(AccessDenied):
            _ = connect(place.url, Access(place.server.endpoint)).facts


def test_a_store_may_have_the_bucket_for_itself(
    minio: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provision: Provision
) -> None:
    alone = new_place(minio, tmp_path, prefix="")
    assert provision(alone)["result"]["madeBucket"]
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(alone.profiles()))
    assert alone.store("sideload").backend.create(layout.STORE, b"{}")
    assert [stat.key for stat in alone.store("hub").backend.list("")] == [layout.STORE]


def test_changed_keys_replace_the_old_ones(minio: Minio, tmp_path: Path) -> None:
    place = new_place(minio, tmp_path)
    bucket = place.url.removeprefix("s3://").partition("/")[0]
    server = ObjectStore(minio.endpoint, bucket, "models", place.keys("root"))
    old = {user: place.keys(user) for user in USERS}
    server.provision(old)
    new = {**old, "hub": new_keys("hub"), "promote": Keys(old["promote"].access, "s" * 40)}
    assert old["hub"].access in server.provision(new).removed
    assert server.provision(new).removed == ()
    for keys, opens in (
        (old["hub"], False),
        (old["promote"], False),
        *((k, True) for k in new.values()),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", keys.access)
            patch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret)
            backend = connect(place.url, Access(minio.endpoint)).backend
            if opens:
                assert backend.read(layout.STORE) is None
            else:
                with pytest.raises(AccessDenied):
                    backend.read(layout.STORE)


def test_each_failure_is_a_sentence(minio: Minio, tmp_path: Path, provision: Provision) -> None:
    place = new_place(minio, tmp_path)
    good = place.keys("root")
    place.give(root=Keys(good.access, "wrong" * 8))
    assert provision(place)["error"]["code"] == "AccessDenied"
    place.give(root=good, hub=good)
    assert "waybill-hub" in provision(place)["error"]["message"]
    place.give(hub=Keys("hub-user", "short"))
    assert "between 8 and 40" in provision(place)["error"]["message"]
    (tmp_path / "hub/AWS_ACCESS_KEY_ID").unlink()
    assert provision(place)["error"]["code"] == "Unreadable"
    nobody = dataclasses.replace(minio, endpoint=f"http://127.0.0.1:{services.free_port()}")
    place = new_place(nobody, tmp_path)
    assert provision(place)["error"]["code"] == "StoreUnreachable"


def test_a_server_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    address = f"127.0.0.1:{services.free_port()}"
    server = Minio(f"http://{address}", "waybill-root", secrets.token_hex(16))
    place = new_place(server, tmp_path / "keys")
    waiting = subprocess.Popen([sys.executable, "-m", "waybill", *place.arguments(wait=60)])
    command = [needs("WAYBILL_TEST_MINIO"), "server", "--address", address, str(tmp_path / "data")]
    env = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    health = f"{server.endpoint}/minio/health/ready"
    with running(command, {**env, "HOME": str(tmp_path)}, tmp_path / "log", health, 30):
        assert waiting.wait() == 0


def certificate(folder: Path) -> Path:
    """A key and a certificate for this machine, laid out as the chart mounts them."""
    (folder / "CAs").mkdir(parents=True)
    own = folder / "public.crt"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    about = ["-subj", "/CN=minio", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "private.key"), "-out", str(own)]
    subprocess.run([*command.split(), *about, *files], check=True, capture_output=True)
    shutil.copy(own, folder / "CAs/public.crt")
    return own


def test_with_a_certificate_only_those_who_trust_it_talk_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provision: Provision
) -> None:
    own = certificate(tmp_path / "certs")
    address = f"127.0.0.1:{services.free_port()}"
    server = Minio(f"https://{address}", "waybill-root", secrets.token_hex(16))
    place = new_place(server, tmp_path / "keys")
    command = [needs("WAYBILL_TEST_MINIO"), "server", "--address", address]
    command += ["--certs-dir", str(tmp_path / "certs"), str(tmp_path / "data")]
    env = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    with subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL) as minio:
        try:
            with monkeypatch.context() as patch:
                patch.setenv("AWS_CA_BUNDLE", str(own))
                patch.setenv("SSL_CERT_FILE", str(own))
                assert main(place.arguments(wait=60)) == 0
            refused = provision(place)["error"]
            assert refused["code"] == "StoreUnreachable"
            assert "certificate verify failed" in refused["message"]
        finally:
            minio.terminate()
