"""What goes wrong with machines and their rights in the middle: clock, disk, quota, keys."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from tests.faults import faulty
from tests.integration.faults.commands import PIECE, Trouble
from tests.integration.faults.conftest import (
    OTHERS,
    SIZE,
    Field,
    assert_loaded,
    assert_nothing_visible,
    assert_one_sentence,
    packing,
    wait_for,
)
from tests.services import Minio
from tests.unit.bundle.bundles import of_bundle
from waybill.store.connect import connect

RATE = ("--limit-rate", "6MB")


@pytest.fixture(scope="module")
def admin(minio: Minio) -> MinioAdmin:
    return MinioAdmin(
        endpoint=minio.endpoint.removeprefix("http://"),
        secure=False,
        credentials=StaticProvider(minio.access_key, minio.secret_key),
    )


def half_way(field: Field, bundle: Path) -> int:
    """A sideload into dev that was killed after its first piece; the bytes that are there."""
    command = field.start("sideload", bundle, "--to", "dev", *RATE)
    wait_for(lambda: field.there("dev") >= PIECE, command)
    assert command.kill_after(0)
    return field.there("dev")


def resumes(field: Field, bundle: Path, there: int) -> None:
    """A rerun sends what is missing, and no more."""
    with faulty(field.server.endpoint) as wire:
        field.place(endpoint=wire.endpoint)
        field.run("sideload", bundle, "--to", "dev")
    assert SIZE - there <= wire.sent <= SIZE - there + OTHERS
    assert_loaded(field.store("dev"))
    assert field.unfinished("dev") == []


# Two machines.


def test_two_machines_resume_the_same_bundle(field: Field, bundle: Path) -> None:
    there = half_way(field, bundle)
    with ExitStack() as stack:
        wires = [stack.enter_context(faulty(field.server.endpoint)) for _ in range(2)]
        both = []
        for number, wire in enumerate(wires):
            copy = shutil.copytree(bundle, field.project / f"copy-{number}")
            field.place(endpoint=wire.endpoint)
            both.append(field.start("sideload", copy, "--to", "dev", *RATE))
            wait_for(lambda wire=wire: bool(wire.seen), both[-1])  # type: ignore[misc]
        assert [command.end() for command in both] == [0, 0], [one.said for one in both]
    sent = sum(wire.sent for wire in wires)
    assert SIZE - there <= sent <= 2 * (SIZE - there + OTHERS)
    assert_loaded(field.store("dev"))
    assert field.unfinished("dev") == []


# Credentials.


@pytest.fixture
def user(admin: MinioAdmin) -> Iterator[dict[str, str]]:
    """The keys of a user of its own."""
    name, secret = f"user-{secrets.token_hex(4)}", secrets.token_hex(16)
    admin.user_add(name, secret)
    admin.attach_policy(["readwrite"], user=name)
    yield {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}
    admin.user_remove(name)


@pytest.mark.parametrize("temporary", [False, True])
def test_credentials_that_end_in_the_middle(
    temporary: bool, field: Field, bundle: Path, admin: MinioAdmin, user: dict[str, str]
) -> None:
    keys = of_a_session(field.server, user) if temporary else user
    command = field.start("sideload", bundle, "--to", "dev", *RATE, env=keys)
    wait_for(lambda: field.there("dev") >= PIECE, command)
    admin.user_disable(user["AWS_ACCESS_KEY_ID"])
    assert command.end() == 1, command.said
    assert_one_sentence(command.said, "refuses access: ")
    assert_nothing_visible(field.store("dev"))
    resumes(field, bundle, field.there("dev"))


def of_a_session(server: Minio, user: dict[str, str]) -> dict[str, str]:
    """Temporary keys of the user's; they end when the user does."""
    import boto3

    client = boto3.client(
        "sts",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=user["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=user["AWS_SECRET_ACCESS_KEY"],
    )
    given = client.assume_role(RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName="test")
    keys = given["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }


# Room.


def test_a_quota_that_is_reached(field: Field, bundle: Path, admin: MinioAdmin) -> None:
    """MinIO compares it with every part that comes, and with what it has counted now and then."""
    admin.bucket_quota_set(field.bucket, PIECE - 1)
    command = field.run("sideload", bundle, "--to", "dev", code=1)
    assert_one_sentence(command.said, "is full: XMinioAdminBucketQuotaExceeded")
    assert_nothing_visible(field.store("dev"))
    admin.bucket_quota_clear(field.bucket)
    resumes(field, bundle, field.there("dev"))


def test_a_disk_that_fills_up_under_a_directory_store(field: Field, bundle: Path) -> None:
    root = field.project / "kept"
    field.run("store", "init", root)
    command = field.run("sideload", bundle, "--to", root, code=1, trouble=Trouble(limit=PIECE))
    assert_one_sentence(command.said, "is full: File too large")
    store = connect(str(root))
    assert_nothing_visible(store)
    (begun,) = (path for path in (root / "uploads").iterdir() if path.stat().st_size)
    assert begun.stat().st_size == PIECE
    inode = begun.stat().st_ino
    field.run("sideload", bundle, "--to", root)
    assert_loaded(store)
    assert inode in {path.stat().st_ino for path in (root / "blobs").rglob("*")}, (
        "it was gone on with"
    )


def test_a_disk_that_fills_up_under_a_packing(field: Field, model: Path, bundle: Path) -> None:
    out = field.project / "out"
    command = field.run(*packing(model, out), code=1, trouble=Trouble(limit=PIECE))
    assert_one_sentence(command.said, "is too small: .* bytes for part-00001.tar needed")
    assert not list(out.glob("part-*.tar")) and not (out / "bundle.json").exists()
    field.run(*packing(model, out))
    assert of_bundle(out) == of_bundle(bundle)


# Clocks.


@pytest.mark.parametrize(
    ("ahead", "told"), [(3600, "60 minutes ahead of"), (-86400, "1,440 minutes behind")]
)
def test_a_clock_that_is_wrong(ahead: float, told: str, field: Field, bundle: Path) -> None:
    command = field.run("sideload", bundle, "--to", "dev", code=1, trouble=Trouble(ahead=ahead))
    assert_one_sentence(command.said, f"refuses access, for this machine's clock is {told} its own")
    assert "hint: set the clock right" in command.said
    assert_nothing_visible(field.store("dev"))


def test_a_clock_that_is_wrong_by_minutes_does_no_harm(field: Field, bundle: Path) -> None:
    field.run("sideload", bundle, "--to", "dev", trouble=Trouble(ahead=600))
    assert_loaded(field.store("dev"))
