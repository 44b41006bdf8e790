"""Who may do what in a bucket, as policies; that MinIO obeys them is tested on MinIO."""

from pathlib import Path
from typing import Any

import pytest

from waybill.deliver.provision_objectstore import USERS, Keys, policy
from waybill.errors import Unreadable

BUCKET, OBJECTS = "arn:aws:s3:::b", "arn:aws:s3:::b/models/"


def allowed(user: str, action: str, prefix: str = "models") -> list[str]:
    """The resources on which a user may do it."""
    statements: list[dict[str, Any]] = policy(user, "b", prefix)["Statement"]
    return [
        resource
        for statement in statements
        if f"s3:{action}" in statement["Action"]
        for resource in statement["Resource"]
    ]


@pytest.mark.parametrize("user", USERS)
def test_all_read_the_store_and_list_it_alone(user: str) -> None:
    assert allowed(user, "GetObject") == [f"{OBJECTS}*"]
    [listing] = [
        s for s in policy(user, "b", "models")["Statement"] if "s3:ListBucket" in s["Action"]
    ]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["models/*"]}}


def test_the_hub_writes_nothing() -> None:
    assert [allowed("hub", action) for action in ("PutObject", "DeleteObject")] == [[], []]


def test_sideload_writes_no_pins_and_deletes_probes_alone() -> None:
    writes = allowed("sideload", "PutObject")
    assert f"{OBJECTS}blobs/sha256/*" in writes
    assert f"{OBJECTS}refs/models/*/*/heads/*" in writes
    assert not [key for key in writes if "pins" in key]
    assert allowed("sideload", "DeleteObject") == [f"{OBJECTS}uploads/probe-*"]


def test_promote_writes_pins_and_deletes_nothing() -> None:
    assert f"{OBJECTS}refs/models/*/*/pins/*" in allowed("promote", "PutObject")
    assert allowed("promote", "DeleteObject") == []


def test_prune_deletes_contents_and_writes_its_own_notes_alone() -> None:
    deletes = [f"{OBJECTS}{key}" for key in ("blobs/sha256/*", "repos/*", "uploads/*")]
    assert allowed("prune", "DeleteObject") == deletes
    writes = [f"{OBJECTS}leases/{key}" for key in ("prune", "candidates")]
    assert allowed("prune", "PutObject") == writes


def test_no_action_is_a_pattern() -> None:
    for user in USERS:
        for statement in policy(user, "b", "")["Statement"]:
            assert not [action for action in statement["Action"] if "*" in action]


def test_without_a_prefix_the_bucket_is_the_store() -> None:
    assert allowed("hub", "GetObject", prefix="") == [f"{BUCKET}/*"]
    assert "Condition" not in str(policy("sideload", "b", ""))


def test_keys_are_read_from_files_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("user\n")
    with pytest.raises(Unreadable, match="AWS_SECRET_ACCESS_KEY cannot be read: No such file"):
        Keys.read(tmp_path)
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("sesame")
    keys = Keys.read(tmp_path)
    assert (keys.access, keys.secret) == ("user", "sesame")
    assert "sesame" not in repr(keys)
