"""The inner side of a gap: a forge, a repository and stores of its own; a medium goes in."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.pipelines.conftest import CHAT, TRUST, Site, git_repository, reader
from tests.integration.pipelines.runner import Runner
from tests.integration.release.conftest import new_stores
from tests.services import Minio
from waybill.store.layout import Ref

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def inside(site: Site, minio: Minio, s3: "S3Client", probed: bytes, tmp_path: Path) -> Site:
    """It has the same policy and trusts the same keys. What is in `bundles` lies on both sides."""
    folder = tmp_path / "inside"
    project = Path(shutil.copytree(site.project, folder / "project"))
    shutil.rmtree(project / ".git")
    world = new_stores(project, minio, s3, probed, trust=TRUST)
    origin = git_repository(project, folder / "origin.git")
    lent = {**site.secrets, "WAYBILL_READING_CREDENTIALS": reader(minio, world)}
    (folder / "bundles").symlink_to(tmp_path / "bundles")
    return Site(world, origin, folder, lent, Runner(origin, folder, site.runner.env))


def history(site: Site, environment: str) -> list[str]:
    """The digests of all records of chat."""
    store = site.world.store(environment)
    return [head.digest for head in store.chain(store.head(CHAT, Ref.pin(environment, "chat")))]


def report(site: Site, name: str) -> str:
    """Of the last replay to prod, where people of the forge find it."""
    if name == "github":
        return site.summary.read_text()
    (place,) = site.runner.folder.glob("checkout-[Rr]eplay")
    return (place / "out/applied-prod.md").read_text()
