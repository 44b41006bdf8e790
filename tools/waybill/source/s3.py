"""Objects of an S3 bucket: all below a prefix, or one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

from waybill.errors import (
    AccessDenied,
    BadValue,
    SourceChanged,
    SourceNotFound,
    SourceRefused,
    SourceUnreachable,
    StoreUnreachable,
)
from waybill.manifest import safe_path
from waybill.source.base import Origin, SourceFile
from waybill.source.card import license_of
from waybill.source.reach import Reach
from waybill.source.streams import resumed
from waybill.store.connect import check_endpoint, trusting
from waybill.store.s3 import S3Backend
from waybill.store.s3_errors import ABSENT, LOST, translated

_CREDENTIALS = "the credentials (--source-profile, AWS_ACCESS_KEY_ID …) and their policy"


class S3Source:
    """`s3://bucket/prefix/`, or `s3://bucket/key` for one object.

    A read asks for the ETag that was listed, so an object that changes is never mixed.
    """

    local = False

    def __init__(self, bucket: str, path: str, reach: Reach) -> None:
        if reach.ca_bundle:
            trusting(reach.ca_bundle)
        self._backend = S3Backend(
            bucket,
            endpoint=check_endpoint("source endpoint", reach.endpoint),
            profile=reach.profile,
            ca_bundle=reach.ca_bundle,
        )
        self._bucket, self._path = bucket, path

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._path}"

    @cached_property
    def origin(self) -> Origin:
        return Origin(source=str(self), license=license_of(self))

    def files(self) -> Sequence[SourceFile]:
        return [file for _, file in self._found.values()]

    @cached_property
    def _found(self) -> dict[str, tuple[str, SourceFile]]:
        """Path -> (key, file), sorted. Raises SourceNotFound, UnsafePath."""
        # Slashes count: they are no more than letters of keys.
        whole = self._path if self._path.endswith("/") else f"{self._path}/"
        found = self._single() or dict(self._below(whole if self._path else ""))
        if not found:
            raise SourceNotFound(source=self, why="no object has this key or this prefix")
        return dict(sorted(found.items()))

    def _single(self) -> dict[str, tuple[str, SourceFile]]:
        """The one object that the whole path is the key of, if there is one."""
        if not self._path or self._path.endswith("/"):
            return {}
        with self._errors():
            try:
                with translated(self._backend, keep=ABSENT):
                    head = self._backend.client.head_object(Bucket=self._bucket, Key=self._path)
            except ClientError:
                return {}
            except AccessDenied:
                # Who may list alone is not told of single keys; the list will say.
                return {}
        name = safe_path(self._path.rpartition("/")[2], str(self))
        size = head["ContentLength"]
        return {name: (self._path, SourceFile(name, size, f"{head['ETag']}:{size}"))}

    def _below(self, prefix: str) -> Iterator[tuple[str, tuple[str, SourceFile]]]:
        with self._errors(), translated(self._backend):
            pages = self._backend.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    key, size = entry["Key"], entry["Size"]
                    # What web consoles leave behind where somebody made a folder.
                    if key.endswith("/") and size == 0:
                        continue
                    path = safe_path(key.removeprefix(prefix), str(self))
                    yield path, (key, SourceFile(path, size, f"{entry['ETag']}:{size}"))

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        return resumed(lambda at: self._open(file, at), offset, file.size, self)

    def _open(self, file: SourceFile, offset: int) -> IO[bytes]:
        if offset >= file.size:
            return io.BytesIO()
        try:
            with self._errors(), translated(self._backend, keep=ABSENT | LOST):
                answer = self._backend.client.get_object(
                    Bucket=self._bucket,
                    Key=self._found[file.path][0],
                    Range=f"bytes={offset}-",
                    IfMatch=file.stamp.rpartition(":")[0],
                )
        except ClientError as error:
            raise SourceChanged(path=file.path, source=self) from error
        span = answer.get("ContentRange", "bytes 0-")
        if not span.startswith(f"bytes {offset}-"):
            answer["Body"].close()
            why = "it sends another range than it was asked for"
            raise SourceUnreachable(source=self, why=why)
        return _Body(answer["Body"], self)  # type: ignore[return-value]

    def is_unchanged(self, file: SourceFile) -> bool:  # noqa: ARG002
        """Every read was of the ETag that was listed."""
        return True

    def holds(self, path: Path) -> bool:  # noqa: ARG002
        return False

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except AccessDenied as error:
            why = error.facts["why"]
            raise SourceRefused(source=self, why=why, credentials=_CREDENTIALS) from error
        except BadValue as error:
            raise BadValue(what="source", value=str(self), why=error.facts["why"]) from error
        except StoreUnreachable as error:
            raise SourceUnreachable(source=self, why=error.facts["why"]) from error


class _Body(io.RawIOBase):
    """A response's body whose network errors are ours."""

    def __init__(self, body: Any, source: S3Source) -> None:
        self._body, self._source = body, source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with self._source._errors(), translated(self._source._backend):
            data: bytes = self._body.read(None if size < 0 else size)
            return data

    def close(self) -> None:
        self._body.close()
        super().close()
