"""A store on a real MinIO: copied to another bucket, kept in a directory, brought back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.integration.release.test_promote_s3 import waybill
from tests.printed import result
from tests.services import Minio, free_port, minio_server, needs
from tests.unit.release.world import REPO, World
from waybill.store.audit import audit, inventory
from waybill.store.connect import Access, connect
from waybill.store.layout import Ref
from waybill.store.store import Store

PIN = Ref.pin("dev", "chat")


def sync(world: World, source: str, target: str, *options: str) -> dict[str, Any]:
    with waybill(world, "sync", source, target, *options) as command:
        said, complaint = command.communicate()
    assert command.returncode == 0, complaint
    return result(said)


def assert_same(one: Store, other: Store) -> None:
    assert audit(other, inventory(other)).wrong == {}
    assert sorted(other.revisions(REPO)) == sorted(one.revisions(REPO))
    assert other.aliases(REPO) == one.aliases(REPO)
    assert list(other.history(REPO, PIN)) == list(one.history(REPO, PIN))


def test_a_store_is_copied_kept_and_brought_back(world: World, tmp_path: Path) -> None:
    for number in (1, 2):
        world.pin("dev", world.revision("dev", number).commit)
    first = sync(world, "dev", "test")
    assert (first["revisions"], first["moved"]) == (2, 1) and first["blobs"] > 0
    assert_same(world.store("dev"), world.store("test"))

    world.pin("dev", world.revision("dev", 3).commit)
    again = sync(world, "dev", "test")
    assert again["blobs"] < first["blobs"] and again["moved"] == 1, "what is new, and no more"

    kept = connect((tmp_path / "kept").as_uri())
    kept.init()
    bucket = world.store("test").url
    reach = ("--from-endpoint", world["test"].endpoint or "", "--from-profile", "waybill")
    sync(world, bucket, kept.url, *reach)
    assert_same(world.store("dev"), kept)
    sync(world, kept.url, "prod")
    assert_same(world.store("dev"), world.store("prod"))
    assert sync(world, "dev", "prod", "--dry-run")["blobs"] == 0


def test_two_servers_may_have_a_bucket_of_one_name(
    world: World, minio: Minio, tmp_path: Path
) -> None:
    world.pin("dev", world.revision("dev", 1).commit)
    source = world.store("dev")
    bucket = source.url.removeprefix("s3://").partition("/")[0]
    other = replace(minio, endpoint=f"http://127.0.0.1:{free_port()}")
    (tmp_path / "minio/data" / bucket).mkdir(parents=True)
    with minio_server(needs("WAYBILL_TEST_MINIO"), tmp_path / "minio", other):
        target = connect(source.url, Access(other.endpoint, "waybill"))
        target.init()
        reach = [f"--from-endpoint={minio.endpoint}", f"--to-endpoint={other.endpoint}"]
        reach += ["--from-profile=waybill", "--to-profile=waybill"]
        assert sync(world, source.url, target.url, *reach)["moved"] == 1
        assert_same(source, target)
