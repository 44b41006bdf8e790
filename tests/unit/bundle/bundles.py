"""Small models, the bundles made of them, and stores to load them into."""

import hashlib
import random
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from waybill import digest as digests
from waybill.bundle import blocks, cut, lanes
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.format import INDEX, SCHEMA, Part
from waybill.bundle.media import Bundle
from waybill.bundle.pack import Packed, Packing
from waybill.bundle.sideload import Decision, Loaded, Loading
from waybill.manifest import canonical
from waybill.source.directory import DirectorySource
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref, RepoId
from waybill.store.store import Store

PIECE = 4096
PART = 3 * PIECE
"""Bytes of a part: the model below needs several, and its weights are cut."""
REPO = RepoId("Acme", "Demo")
MAIN = Ref("heads", "main")
DECISION = Decision((MAIN,), "a test", "to see")


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - not a secret


FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# Demo\n",
    "1_Pooling/config.json": b'{"pooling": "mean"}\n',
    "config.json": b'{"model_type": "bert"}\n',
    "copy.json": b'{"model_type": "bert"}\n',
    "empty.txt": b"",
    "model.safetensors": noise(3 * PIECE + 700),
    "na\u00efve name's.txt": b"accents, a space and a quote\n",
    "tokenizer.json": noise(2000, 1),
}


@contextmanager
def small_pieces() -> Iterator[None]:
    """Pieces of 4 KiB instead of 64 MiB, everywhere at once."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (digests, cut, lanes, blocks):
            patch.setattr(module, "PIECE", PIECE)
        patch.setattr(blocks, "CHUNK", 4096)
        patch.setattr(cut, "SMALLEST", PIECE + 4096)
        patch.setitem(SCHEMA["properties"]["partSize"], "minimum", PIECE)
        yield


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses this process any byte beyond `size` in a file, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def regions(part: Part) -> list[int]:
    """A byte of each kind in a part: of a header, of data, of their padding, of the end."""
    last = part.extents[-1]
    return [5, last.at - 300, last.at, last.at + last.length, part.size - 1]


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def plan(source: Path, part_size: int = PART, **options: Any) -> Packing:
    return Packing.plan(DirectorySource(source), REPO, part_size=part_size, **options)


def pack(source: Path, *outs: Path, part_size: int = PART) -> Packed:
    return plan(source, part_size).run(outs)


def small_bundle(folder: Path, files: dict[str, bytes]) -> Path:
    """A bundle in small pieces, for tests that copy it."""
    with small_pieces():
        pack(write(folder / "model", files), folder / "bundle")
    return folder / "bundle"


def new_store(folder: Path) -> Store:
    store = Store(FilesystemBackend(folder))
    store.init()
    return store


def load(store: Store, *folders: Path, decision: Decision = DECISION) -> list[Loaded]:
    return Loading.plan(BundleCargo(Bundle.open(folders)), store, decision).run()


def bytes_below(folder: Path, *, but: Sequence[str] = ()) -> dict[str, str]:
    """Path -> digest of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in but
    }


def of_bundle(*folders: Path) -> dict[str, str]:
    """What crosses the gap: all but the journal that packing keeps."""
    return {
        f"{at}/{name}": found
        for at, folder in enumerate(folders)
        for name, found in bytes_below(folder, but=[".waybill-pack.json", ".cache"]).items()
    }


def files_of(store: Store, revision: str = "main") -> dict[str, bytes]:
    """Every file of a revision, as any reader gets it."""
    manifest = store.manifest(REPO, store.resolve(REPO, revision))
    found = {}
    for file in manifest.files:
        with store.open(file.descriptor) as stream:
            found[file.path] = b"".join(digests.verified(stream, file.digest, file.size, file.path))
    return found


def sound(store: Store) -> bool:
    """Whether all that is visible in the store is whole and right."""
    from waybill.store.audit import audit, inventory

    return not audit(store, inventory(store)).wrong


def rewrite_index(folder: Path, facts: dict[str, Any]) -> None:
    """Change bundle.json as one who knows the format would: its own digest is right again."""
    facts = {name: value for name, value in facts.items() if name != "digest"}
    (folder / INDEX).write_bytes(canonical({**facts, "digest": digests.of(canonical(facts))}))
