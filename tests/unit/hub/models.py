"""Small repos in a directory store, for tests of the hub."""

from pathlib import Path

from waybill import digest as digests
from waybill.manifest import File, Manifest, git_blob_id
from waybill.store.base import BytesContent
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref, RepoId
from waybill.store.record import Head
from waybill.store.store import Store

REPO = RepoId("Acme", "Tiny-Model")
UPSTREAM = "a" * 40

FILES = {
    "README.md": b"# Tiny\n",
    "1_Pooling/config.json": b'{"pooling": "mean"}\n',
    "config.json": b'{"model_type": "bert"}\n',
    "model.safetensors": bytes(range(256)) * 4,
    "deep/er/vocab.txt": b"one\ntwo\n",
    "empty.txt": b"",
    "na\u00efve name.txt": b"accents and a space\n",
}
LFS = {"model.safetensors"}


def file(path: str, data: bytes) -> File:
    oid = None if path in LFS else git_blob_id(data)
    return File(path, digests.of(data), len(data), oid)


def new_store(folder: Path) -> Store:
    store = Store(FilesystemBackend(folder / "store"))
    store.init()
    return store


def add(store: Store, files: dict[str, bytes], repo: RepoId = REPO) -> Manifest:
    """A revision with all its blobs."""
    manifest = Manifest.of(file(path, data) for path, data in files.items())
    for path, data in files.items():
        store.upload(file(path, data).descriptor, BytesContent(data))
    store.add_revision(repo, manifest)
    return manifest


def point(store: Store, ref: Ref, manifest: Manifest, repo: RepoId = REPO) -> Head:
    before = store.head(repo, ref)
    return store.move(repo, ref, manifest.commit, expected=before, by="a test", why="to see")


def fill(store: Store) -> Manifest:
    """The tiny model: branch main, tag v1.0, and an upstream alias."""
    manifest = add(store, FILES)
    store.add_alias(REPO, UPSTREAM, manifest.commit)
    point(store, Ref("heads", "main"), manifest)
    point(store, Ref("tags", "v1.0"), manifest)
    return manifest
