"""What disks and people do to a directory store: full, locked, killed, damaged."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store_contents import Bytes, blob_of, noise
from tests.store_contract import BLOB, DATA, Place, assert_absent
from waybill import digest as digests
from waybill.errors import AccessDenied, Corrupt, NotAStore, StoreUnreachable
from waybill.manifest import File, Manifest
from waybill.store import layout
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref, RepoId
from waybill.store.store import Store

SIZE = 8_000_000
REPO = RepoId("owner", "model")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place((tmp_path / "store").as_uri())


@pytest.fixture
def store(place: Place) -> Store:
    store = place.open()
    store.init()
    return store


@pytest.fixture
def paused(place: Place, store: Store) -> Iterator[subprocess.Popen[str]]:
    """A living process that has written the first half of a blob."""
    assert not store.has(blob_of(noise(SIZE)))
    with place.paused("put", 0, SIZE, SIZE // 2) as worker:
        yield worker


def partials(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "store" / "uploads").iterdir())


def killed(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.wait(10)


# Full disks.

FULL = """
import subprocess, sys, resource
from tests.store_contents import Bytes, blob_of, noise
from waybill.errors import StoreFull
from waybill.store.connect import connect

folder, make_room = sys.argv[1], sys.argv[2:]
store, data = connect(folder), noise(8_000_000)
blob = blob_of(data)
store.init()
try:
    store.upload(blob, Bytes(data))
except StoreFull as error:
    print(error)
    print(error.advice)
assert not store.has(blob)
assert not list(store.backend.list("blobs/"))
if make_room:
    subprocess.run(make_room, check=True)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
again = Bytes(data)
store.upload(blob, again)
store.verify(blob)
print(again.read)
"""
MOUNT = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'


def on_a_small_disk(folder: Path) -> tuple[list[str], list[str]]:
    """How to run a command with a tmpfs at `folder` that nobody else sees, and to enlarge it.

    Where that is not allowed, files are limited instead, which is another error of the kernel.
    """
    private = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    mounted = [*private, "bash", "-c", MOUNT, str(folder)]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode == 0:
        return mounted, ["mount", "-o", "remount,size=32m", str(folder)]
    return limited_files(), []


def limited_files() -> list[str]:
    return ["bash", "-c", 'ulimit -Sf 4000; exec "$@"', "bash"]


@pytest.mark.parametrize("how", ["disk", "limit"])
def test_a_full_disk_shows_nothing_and_is_gone_on_with(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    prefix, room = on_a_small_disk(folder) if how == "disk" else (limited_files(), [])
    command = [*prefix, sys.executable, "-c", FULL, str(folder), *room]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sentence, advice, read = done.stdout.splitlines()
    assert sentence.startswith(f"{folder.as_uri()} is full: ")
    assert advice == "make room, then run the command again: what is finished is not sent twice"
    assert 3_000_000 < int(read) < SIZE - 3_000_000


# Permissions.

AS_NOBODY = """
import os, sys
from tests.store_contents import Bytes, blob_of
from waybill.errors import WaybillError
from waybill.store.connect import connect
from waybill.store.layout import Ref, RepoId

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
store, repo, blob = connect(sys.argv[1]), RepoId("owner", "model"), blob_of(b"data")
for step in (
    lambda: store.has(blob),
    lambda: store.read(blob.digest),
    lambda: store.revisions(repo),
    lambda: store.resolve(repo, "0" * 40),
    lambda: store.upload(blob_of(b"new"), Bytes(b"new")),
    lambda: store.backend.create("repos/x", b""),
    lambda: store.backend.replace("refs/x", b"", None),
):
    try:
        print(step())
    except WaybillError as error:
        print(type(error).__name__)
"""


@pytest.fixture
def public_store() -> Iterator[Path]:
    """A store that others may read, in a folder that they can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "store"
        store = Place(str(root)).open()
        store.init()
        store.write(b"data", "text/plain")
        manifest = Manifest.of([File("data", digests.of(b"data"), 4)])
        store.add_revision(REPO, manifest)
        shutil.rmtree(root / "uploads")
        yield root
        for path in root.rglob("*"):
            path.chmod(0o755)


def as_nobody(root: Path) -> list[str]:
    for path in [root, *root.rglob("*")]:
        if path.stat().st_mode & 0o700:
            path.chmod(path.stat().st_mode & 0o555)
    command = [sys.executable, "-c", AS_NOBODY, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_who_may_only_read_is_refused_each_write(public_store: Path) -> None:
    [revision] = Place(str(public_store)).open().revisions(REPO)
    reads = ["True", "b'data'", f"['{revision}']", "RevisionNotFound"]
    assert as_nobody(public_store) == [*reads, "AccessDenied", "AccessDenied", "AccessDenied"]


def test_what_may_not_be_read_is_not_taken_for_missing(public_store: Path) -> None:
    (public_store / "blobs/sha256").chmod(0)
    (public_store / "repos/models/owner/model/revisions").chmod(0)
    assert as_nobody(public_store) == ["AccessDenied"] * 7


def test_a_disk_that_is_mounted_read_only_refuses_access() -> None:
    with (
        pytest.raises(AccessDenied, match=r"refuses access: .* Read-only file system"),
        FilesystemBackend(Path("/store")).errors(),
    ):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


# Directories that are not what they should be.


def test_a_directory_that_is_missing_is_no_store(place: Place, tmp_path: Path) -> None:
    store = place.open()
    assert not store.has(BLOB)
    assert list(store.backend.list("")) == []
    for step in (
        lambda: store.facts,
        lambda: store.upload(BLOB, Bytes(DATA)),
        lambda: store.backend.create("a/b", b""),
        lambda: store.backend.replace("a/b", b"", None),
        lambda: store.move(REPO, Ref("heads", "main"), "0" * 40, expected=None, by="", why=""),
    ):
        with pytest.raises(NotAStore):
            step()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_lost_meanwhile_is_not_made_anew(store: Store, tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(NotAStore):
        store.upload(BLOB, Bytes(DATA))
    assert not (tmp_path / "store").exists()


def test_a_file_is_no_store(place: Place, tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(NotAStore):
        place.open().facts  # noqa: B018
    with pytest.raises(StoreUnreachable, match="File exists"):
        place.open().init()


def test_an_error_of_the_disk_is_one_of_the_store(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "store" / layout.blob(BLOB.digest)
    path.parent.mkdir(parents=True)
    path.symlink_to("/proc/self/mem")
    with store.open(BLOB) as stream, pytest.raises(StoreUnreachable, match="Input/output error"):
        stream.read(10)
    with pytest.raises(StoreUnreachable):
        store.read(BLOB.digest)


# Writers that die.


def test_a_killed_writer_leaves_nothing_visible_and_the_next_goes_on(
    store: Store, paused: subprocess.Popen[str], tmp_path: Path
) -> None:
    killed(paused)
    data = noise(SIZE)
    assert_absent(store, blob_of(data))
    [partial] = partials(tmp_path)
    there = partial.stat().st_size
    assert SIZE // 4 < there <= SIZE // 2 + 300_000
    content, told = Bytes(data), list[int]()
    store.upload(blob_of(data), content, told.append)
    assert content.read == SIZE - there
    assert sum(told) == SIZE
    store.verify(blob_of(data))
    assert partials(tmp_path) == []


def test_a_living_writer_is_not_disturbed(
    store: Store, paused: subprocess.Popen[str], tmp_path: Path
) -> None:
    [held] = partials(tmp_path)
    before, content = held.read_bytes(), Bytes(noise(SIZE))
    store.upload(blob_of(noise(SIZE)), content)
    assert content.read == SIZE
    assert partials(tmp_path) == [held]
    assert held.read_bytes() == before
    killed(paused)
    store.verify(blob_of(noise(SIZE)))


def test_what_a_killed_writer_left_is_told_in_one_count(
    store: Store, paused: subprocess.Popen[str], tmp_path: Path
) -> None:
    """So that a limited rate does not hold up what is not sent."""
    killed(paused)
    [partial] = partials(tmp_path)
    there, told = partial.stat().st_size, list[int]()
    store.upload(blob_of(noise(SIZE)), Bytes(noise(SIZE)), told.append)
    assert there > digests.CHUNK and there in told and sum(told) == SIZE


@pytest.mark.parametrize("damage", ["first byte", "too long", "zeros"])
def test_a_damaged_beginning_is_not_gone_on_with(
    store: Store, paused: subprocess.Popen[str], tmp_path: Path, damage: str
) -> None:
    killed(paused)
    [partial] = partials(tmp_path)
    there = partial.read_bytes()
    changed = {
        "first byte": b"\0" + there[1:],
        "too long": noise(SIZE) + b"more",
        "zeros": bytes(len(there)),
    }
    partial.write_bytes(changed[damage])
    blob = blob_of(noise(SIZE))
    with pytest.raises(Corrupt):
        store.upload(blob, Bytes(bytes(SIZE)))
    assert_absent(store, blob)
    partial.write_bytes(changed[damage])
    store.upload(blob, Bytes(noise(SIZE)))
    store.verify(blob)
    assert partials(tmp_path) == []


def test_a_lock_is_gone_with_the_process_that_held_it(place: Place, store: Store) -> None:
    with place.paused("lock") as worker:
        writer = threading.Thread(target=store.backend.replace, args=("refs/x", b"1", None))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive(), "the lock was not held"
        killed(worker)
        writer.join(10)
    assert store.backend.read("refs/x") == b"1"


def test_small_writes_leave_no_temporary_files(store: Store, tmp_path: Path) -> None:
    assert store.backend.create("a/b", b"1")
    assert not store.backend.create("a/b", b"1")
    assert store.backend.replace("a/b", b"2", b"1")
    assert not store.backend.replace("a/b", b"3", b"1")
    assert partials(tmp_path) == []
