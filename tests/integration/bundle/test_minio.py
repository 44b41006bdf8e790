"""Sideloading into a real MinIO: gone on with after a kill, and nothing sent twice."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import faulty
from tests.integration.bundle.conftest import SIZES, Bucket, Process, commit_in
from tests.integration.bundle.test_kill import INTERRUPTED, assert_loaded
from tests.unit.bundle.bundles import MAIN, REPO, of_bundle, sound
from waybill.bundle.media import Bundle
from waybill.digest import PIECE
from waybill.store.s3_upload import CHECKED

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE = SIZES["a.safetensors"]
HEADERS = 200_000
"""Bytes of requests, without the contents they carry."""


def finished_parts(s3: "S3Client", place: Bucket, bundle: Path) -> list[int]:
    """Sizes of the parts of the large blob that the server has, its upload not complete."""
    (revision,) = Bundle.open([bundle]).index.revisions
    digest = revision.manifest.by_path["a.safetensors"].digest
    key = f"models/blobs/sha256/{digest.removeprefix('sha256:')}"
    uploads = s3.list_multipart_uploads(Bucket=place.name, Prefix=key).get("Uploads", [])
    return [
        part["Size"]
        for upload in uploads
        for part in s3.list_parts(Bucket=place.name, Key=key, UploadId=upload["UploadId"]).get(
            "Parts", []
        )
    ]


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_killed_sideload_is_gone_on_with_and_finished_parts_are_not_sent_again(
    share: float, on_minio: Bucket, s3: "S3Client", bundle: Path, tmp_path: Path
) -> None:
    total = sum(SIZES.values())
    with faulty(on_minio.server.endpoint) as line:
        first = on_minio.sideload(bundle, endpoint=line.endpoint)
        assert first.kill_when(
            lambda: line.sent > share * total and PIECE in finished_parts(s3, on_minio, bundle)
        )
    store = on_minio.open()
    assert store.head(REPO, MAIN) is None
    assert sound(store)
    done = finished_parts(s3, on_minio, bundle)
    assert PIECE in done
    there = sum(one.size for one in store.backend.list("blobs/"))
    copy = tmp_path / "another" / "copy"
    shutil.copytree(bundle, copy)
    with faulty(on_minio.server.endpoint) as line:
        commit = commit_in(on_minio.sideload(copy, endpoint=line.endpoint).run())
    # A part whose last byte was on its way when the first was killed may have come since.
    assert 0 < line.sent <= total - there - sum(done) + HEADERS
    assert_loaded(store, commit)
    assert finished_parts(s3, on_minio, bundle) == []


def test_a_stopped_sideload_says_that_a_rerun_goes_on(
    on_minio: Bucket, s3: "S3Client", bundle: Path
) -> None:
    with faulty(on_minio.server.endpoint) as line:
        first = on_minio.sideload(bundle, endpoint=line.endpoint)
        assert first.stop_when(lambda: line.sent > LARGE // 2, 15) == (130, INTERRUPTED)
    on_minio.sideload(bundle).run()
    assert finished_parts(s3, on_minio, bundle) == []


def test_a_second_sideload_sends_next_to_nothing(on_minio: Bucket, bundle: Path) -> None:
    on_minio.sideload(bundle).run()
    with faulty(on_minio.server.endpoint) as line:
        on_minio.sideload(bundle, endpoint=line.endpoint).run()
    assert line.sent < HEADERS


def test_what_was_loaded_comes_back_by_pull(
    on_minio: Bucket, model: Path, bundle: Path, tmp_path: Path
) -> None:
    on_minio.sideload(bundle).run()
    where = ("--from", on_minio.url, "--endpoint", on_minio.server.endpoint)
    Process(("pull", "Acme/Demo", *where, "--out", tmp_path / "out"), on_minio.env).run()
    assert of_bundle(tmp_path / "out") == of_bundle(model)
    verified = Process(("verify", "--store", on_minio.url, *where[2:]), on_minio.env).run()
    assert "1 revision, 7 blobs" in verified
    assert "0 wrong" in verified


@pytest.mark.parametrize("name", ["a.safetensors", "config.json"])
def test_what_a_server_has_damaged_is_replaced(
    name: str, on_minio: Bucket, s3: "S3Client", bundle: Path
) -> None:
    """A blob of several parts and a small one, whose metadata still say that they were checked."""
    on_minio.sideload(bundle).run()
    (revision,) = Bundle.open([bundle]).index.revisions
    blob = revision.manifest.by_path[name]
    key = f"models/blobs/sha256/{blob.digest.removeprefix('sha256:')}"
    s3.put_object(
        Bucket=on_minio.name, Key=key, Body=bytes(blob.size), Metadata={CHECKED: "sha256"}
    )
    with on_minio.sideload(bundle, "--verify", "deep").start() as process:
        _, said = process.communicate()
    assert process.returncode == 4 and blob.digest in said
    assert "; damaged: 1" in on_minio.sideload(bundle, "--repair").run()
    assert_loaded(on_minio.open(), revision.manifest.commit)
    assert "sent 0 of " in on_minio.sideload(bundle, "--verify", "deep").run()


@pytest.mark.parametrize("name", ["a.safetensors", "b.safetensors"])
def test_a_flipped_byte_never_reaches_the_store(
    name: str, on_minio: Bucket, bundle: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    opened = Bundle.open([copy])
    (revision,) = opened.index.revisions
    digest = revision.manifest.by_path[name].digest
    part, extent = opened.index.places[digest][-1]
    with (copy / part.name).open("r+b") as stream:
        stream.seek(extent.at + 7)
        byte = stream.read(1)
        stream.seek(extent.at + 7)
        stream.write(bytes([byte[0] ^ 1]))
    with on_minio.sideload(copy).start() as process:
        _, said = process.communicate()
    assert process.returncode == 4
    assert f"error: Acme/Demo/{name} of part-0000" in said
    assert " is corrupt: expected " in said
    store = on_minio.open()
    assert list(store.backend.list("repos/")) == list(store.backend.list("refs/")) == []
    assert sound(store)
    commit = commit_in(on_minio.sideload(bundle).run())
    assert_loaded(store, commit)


WRONG = {
    "another secret": ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "s3://{0}", 1, "SignatureDoesNotMatch"),
    "an unknown key": ({"AWS_ACCESS_KEY_ID": "nobody"}, "s3://{0}", 1, "InvalidAccessKeyId"),
    "no bucket": ({}, "s3://{0}-none", 2, "the bucket '{0}-none' does not exist"),
    "no store": ({}, "s3://{0}/elsewhere", 2, "elsewhere is not a Waybill store"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_store_that_is_wrong_is_told_in_a_sentence(
    what: str, on_minio: Bucket, bundle: Path
) -> None:
    env, url, code, told = WRONG[what]
    where = ("--to", url.format(on_minio.name), "--endpoint", on_minio.server.endpoint)
    with Process(("sideload", bundle, *where), {**on_minio.env, **env}).start() as process:
        _, said = process.communicate()
    assert process.returncode == code
    assert told.format(on_minio.name) in said
    assert said.startswith("error: ")
    assert said.count("\nhint: ") == 1
