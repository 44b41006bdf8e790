"""Stores on a real MinIO of which it is known how much they may hold; and one repo of several."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.release.conftest import new_stores, use_profile
from tests.integration.release.test_promote_s3 import waybill
from tests.printed import printed
from tests.services import Minio
from tests.unit.bundle.bundles import FILES, write
from tests.unit.release.world import REPO, World
from waybill.store.layout import RepoId

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OTHER = RepoId("acme", "other")


def run(world: World, *words: str, code: int = 0) -> dict[str, Any]:
    with waybill(world, *words) as command:
        said, complaint = command.communicate()
    assert command.returncode == code, complaint
    found: dict[str, Any] = printed(said)["error" if code else "result"]
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", FILES)


@pytest.fixture
def small(
    minio: Minio,
    s3: "S3Client",
    probed: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """Each environment says that its store holds next to nothing."""
    use_profile(minio, tmp_path / "credentials", monkeypatch)
    (tmp_path / "small/values").mkdir(parents=True)
    return new_stores(tmp_path / "small", minio, s3, probed, capacity="1kB")


def in_bucket(s3: "S3Client", world: World, name: str) -> tuple[list[str], int]:
    """Keys, and the number of uploads that were begun."""
    bucket = world.store(name).url.removeprefix("s3://").partition("/")[0]
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return keys, len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def test_what_would_not_fit_is_refused_before_its_first_byte(
    small: World, s3: "S3Client", model: Path
) -> None:
    loading = ("sideload", str(model), "--as", str(REPO), "--to")
    commit = run(small, *loading, "dev", "--capacity", "9MB")["revisions"][0]["commit"]
    run(small, "pin", "dev", "chat", f"{REPO}@{commit}")
    (small.project / "values/test.yaml").write_text("global: {models: {}}\n")
    before = in_bucket(s3, small, "test")
    for words in (
        (*loading, "test"),
        ("sync", "dev", "test"),
        ("promote", "--from", "dev", "--to", "test"),
        ("deploy", "chat", "--source", str(model), "--as", str(REPO), "--env", "test"),
    ):
        told = run(small, *words, code=1)
        assert told["code"] == "StoreTooSmall", words
        assert re.search("has room for 1,000 bytes, and 1.,... are to be", told["message"]), words
        assert in_bucket(s3, small, "test") == before, words
    assert not small["test"].pins_path.exists()
    assert (small.project / "values/test.yaml").read_text() == "global: {models: {}}\n"


def test_what_is_there_needs_no_room(small: World, model: Path) -> None:
    loading = ("sideload", str(model), "--as", str(REPO), "--to", "dev")
    run(small, *loading, "--capacity", "9MB")
    assert run(small, *loading)["missing"] == 0


def test_one_repo_alone_is_copied(world: World, model: Path) -> None:
    for repo in (REPO, OTHER):
        run(world, "sideload", str(model), "--as", str(repo), "--to", "dev")
        (model / "config.json").write_text("{}\n")
    words = ("sync", "dev", "test", "--repo", str(OTHER))
    assert run(world, *words, "--dry-run")["revisions"] == 1
    assert run(world, *words)["revisions"] == 1
    source, target = world.store("dev"), world.store("test")
    assert {repo for repo, _ in target.refs()} == {str(OTHER)}
    assert target.revisions(OTHER) == source.revisions(OTHER)
    (commit,) = target.revisions(OTHER)
    assert target.referrers(OTHER, commit) == source.referrers(OTHER, commit)
    told = run(world, "sync", "dev", "test", "--repo", "acme/none", code=2)
    assert told["code"] == "RepoNotFound"
