"""What MinIO must hold before a store can be made in it: a bucket, and a user for each purpose.

Everything here may run again at any time: keys that changed in a Secret become the user's keys,
and a user whose access key was replaced goes. Nothing that was stored is ever touched.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import certifi
import urllib3
from botocore.config import Config

from waybill.errors import AccessDenied, BadValue, ExtraMissing, StoreUnreachable, Unreadable
from waybill.store import layout
from waybill.store.s3_errors import translated

if TYPE_CHECKING:
    from minio import MinioAdmin
    from minio.error import MinioAdminException

USERS = ("hub", "sideload", "promote", "prune")
ROOT = "root"
_PAUSE = 2
"""Seconds between two tries while the server is not there."""
_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


@dataclass(frozen=True)
class Keys:
    """Access key and secret key, in files as AWS names them."""

    access: str
    secret: str = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Keys:
        """Raises Unreadable."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return cls(*(_line(folder / name) for name in names))


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise Unreadable(path=path, why=getattr(error, "strerror", None) or error) from error


def policy(user: str, bucket: str, prefix: str = "") -> dict[str, Any]:
    """What a user may do, as an S3 policy; the least that its commands call.

    hub: read. sideload: write blobs, revisions, branches and tags; make the store, and delete
    what its probe wrote. promote: write these and pins, which decide what an environment runs.
    prune: delete contents and revisions, while it holds the lease; write nothing that is read.
    """
    objects = f"arn:aws:s3:::{bucket}/{prefix}/".replace("//", "/")
    refs = [f"{layout.REFS}models/*/*/{kind}/*" for kind in layout.REF_KINDS]
    probes = f"{layout.UPLOADS}probe-*"
    content = [f"{layout.BLOBS}*", f"{layout.REPOS}*"]
    writes = {
        "hub": [],
        "sideload": [layout.STORE, probes, *content, *(ref for ref in refs if "/pins/" not in ref)],
        "promote": [*content, *refs],
        "prune": [],
    }[user]
    own = {"Condition": {"StringLike": {"s3:prefix": [f"{prefix}/*"]}}} if prefix else {}
    listing = _on(f"arn:aws:s3:::{bucket}", [""], "ListBucket")
    statements = [_on(objects, ["*"], "GetObject"), {**listing, **own}]
    if writes:
        statements += [
            _on(objects, writes, "PutObject", "ListMultipartUploadParts", "AbortMultipartUpload"),
            # MinIO refuses a condition on the prefix here, and lists only uploads of one exact key.
            _on(f"arn:aws:s3:::{bucket}", [""], "ListBucketMultipartUploads"),
        ]
    if probes in writes:
        statements.append(_on(objects, [probes], "DeleteObject"))
    if user == "prune":
        statements.append(_on(objects, [*content, f"{layout.UPLOADS}*"], "DeleteObject"))
        statements.append(_on(objects, [layout.LEASE, layout.CANDIDATES], "PutObject"))
    return {"Version": "2012-10-17", "Statement": statements}


def _on(objects: str, keys: list[str], *actions: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": [f"s3:{action}" for action in actions],
        "Resource": [objects + key for key in keys],
    }


@dataclass(frozen=True)
class Provisioned:
    """Whether the bucket is new, the users' policies, and the access keys that were removed."""

    made_bucket: bool
    policies: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class ObjectStore:
    """A MinIO server as its root user sees it, and the place in it that becomes a store."""

    endpoint: str
    bucket: str
    prefix: str
    root: Keys

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def provision(self, users: Mapping[str, Keys], seconds: float = 0) -> Provisioned:
        """Bucket, users and policies; a server that is not there yet is asked for `seconds`.

        Raises StoreUnreachable, AccessDenied, BadValue and ExtraMissing.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                return self._provision(users)
            except StoreUnreachable:
                if time.monotonic() >= end:
                    raise
                time.sleep(_PAUSE)

    def _provision(self, users: Mapping[str, Keys]) -> Provisioned:
        made = self._make_bucket()
        for user, keys in users.items():
            self._set_user(policy_name(user), policy(user, self.bucket, self.prefix), keys)
        return Provisioned(made, tuple(map(policy_name, users)), self._remove_replaced(users))

    def _make_bucket(self) -> bool:
        s3 = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.root.access,
            aws_secret_access_key=self.root.secret,
            region_name="us-east-1",
            config=Config(connect_timeout=5, read_timeout=30, s3={"addressing_style": "path"}),
        )
        try:
            with translated(self, keep=_THERE):
                s3.create_bucket(Bucket=self.bucket)
        except botocore.exceptions.ClientError:
            return False
        finally:
            s3.close()
        return True

    def _set_user(self, name: str, rules: dict[str, Any], keys: Keys) -> None:
        with self._asking(f"user of the policy {name}", keys.access):
            self._admin.policy_add(name, policy=rules)
            self._admin.user_add(keys.access, keys.secret)
            self._admin.policy_set(name, user=keys.access)

    def _remove_replaced(self, users: Mapping[str, Keys]) -> tuple[str, ...]:
        """An access key that no Secret holds any more must open nothing."""
        ours = {policy_name(user): keys.access for user, keys in users.items()}
        removed = []
        with self._asking("list of users", self.endpoint):
            for access, facts in json.loads(self._admin.user_list()).items():
                if access != ours.get(facts.get("policyName"), access):
                    self._admin.user_remove(access)
                    removed.append(access)
        return tuple(removed)

    @cached_property
    def _admin(self) -> MinioAdmin:
        if find_spec("minio") is None:
            raise ExtraMissing(what="provisioning MinIO", package="minio", extra="cluster")
        from minio import MinioAdmin
        from minio.credentials.providers import StaticProvider

        parts = urlsplit(self.endpoint)
        # The package's own would wait five minutes for a server that is not there.
        http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=30),
            retries=urllib3.Retry(total=2, backoff_factor=0.2),
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        )
        return MinioAdmin(
            endpoint=parts.netloc,
            secure=parts.scheme == "https",
            credentials=StaticProvider(self.root.access, self.root.secret),
            http_client=http,
        )

    @contextmanager
    def _asking(self, what: str, value: str) -> Iterator[None]:
        _ = self._admin
        from minio.error import MinioAdminException

        try:
            yield
        except MinioAdminException as error:
            raise self._refused(what, value, error) from error
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnreachable(url=self.url, why=str(error)) from error

    def _refused(self, what: str, value: str, error: MinioAdminException) -> Exception:
        status, why = int(error._code), _message(error)
        if status in (401, 403):
            return AccessDenied(url=self.url, why=f"{what}: {why}")
        if status >= 500:
            return StoreUnreachable(url=self.url, why=why)
        return BadValue(what=what, value=value, why=why)


def _message(error: MinioAdminException) -> str:
    try:
        body = json.loads(error._body)
        return f"{body['Code']}: {body['Message']}"
    except (ValueError, KeyError, TypeError):
        return str(error)


def policy_name(user: str) -> str:
    return f"waybill-{user}"
