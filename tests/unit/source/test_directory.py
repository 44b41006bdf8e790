"""A directory as a source: what counts as a file of it, and what is refused."""

import os
import socket
from pathlib import Path

import pytest

from waybill.errors import Unreadable, UnsafePath, WaybillError
from waybill.source.base import Origin
from waybill.source.directory import DirectorySource

COMMIT = "c" * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_bytes(b"{}")
    (tmp_path / "model" / "sub" / "a.txt").write_bytes(b"abc")
    return tmp_path / "model"


def listed(root: Path) -> dict[str, int]:
    return {file.path: file.size for file in DirectorySource(root).files()}


def refusal(root: Path) -> WaybillError:
    with pytest.raises(WaybillError) as caught:
        DirectorySource(root).files()
    return caught.value


def test_every_file_is_listed_in_order_with_its_size(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "z").write_bytes(b"")
    (root / "a.b").write_bytes(b"1")
    assert list(listed(root).items()) == [
        ("a.b", 1),
        ("a/z", 0),
        ("config.json", 2),
        ("sub/a.txt", 3),
    ]


def test_a_file_is_read_from_any_offset(root: Path) -> None:
    source = DirectorySource(root)
    (file,) = [file for file in source.files() if file.path == "sub/a.txt"]
    with source.open(file) as whole, source.open(file, 2) as rest:
        assert (whole.read(), rest.read()) == (b"abc", b"c")


def test_a_link_that_stays_inside_counts_as_its_file(root: Path) -> None:
    (root / "link.json").symlink_to("config.json")
    (root / "sub" / "up.json").symlink_to("../config.json")
    assert listed(root)["link.json"] == listed(root)["sub/up.json"] == 2


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.txt", "../model-2/x"])
def test_a_link_that_leaves_is_refused(target: str, root: Path) -> None:
    (root.parent / "outside.txt").write_bytes(b"secret")
    (root.parent / "model-2").mkdir()
    (root.parent / "model-2" / "x").write_bytes(b"secret")
    (root / "sub" / "link").symlink_to(root / target)
    error = refusal(root)
    assert str(error) == f"'sub/link' in {root} is refused: it is a link that leaves it"
    assert error.exit_code == 2


@pytest.mark.parametrize("target", ["sub", "..", "/etc"])
def test_a_link_to_a_folder_is_refused_instead_of_left_out(target: str, root: Path) -> None:
    (root / "folder").symlink_to(target)
    assert isinstance(refusal(root), UnsafePath)


@pytest.mark.parametrize("target", ["nothing", "ring"])
def test_a_link_to_nothing_or_to_itself_is_named(target: str, root: Path) -> None:
    (root / "ring").symlink_to(target)
    error = refusal(root)
    assert isinstance(error, Unreadable)
    assert str(error).startswith(f"{root}/ring cannot be read: ")


def test_a_pipe_is_refused_and_never_waited_for(root: Path) -> None:
    os.mkfifo(root / "README.md")
    assert DirectorySource(root).origin.license is None
    assert str(refusal(root)) == f"'README.md' in {root} is refused: it is not a regular file"


def test_a_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert "not a regular file" in str(refusal(root))


def test_a_device_is_refused_whether_linked_or_made(root: Path) -> None:
    (root / "null").symlink_to("/dev/null")
    assert isinstance(refusal(root), UnsafePath)


@pytest.mark.parametrize("name", ["new\nline", "tab\t", "back\\slash", "esc\x1b[2J", "del\x7f"])
def test_a_name_that_no_terminal_should_see_is_refused(name: str, root: Path) -> None:
    (root / name).write_bytes(b"")
    assert isinstance(refusal(root), UnsafePath)


def test_a_name_that_is_not_utf_8_is_refused(root: Path) -> None:
    (root / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    assert "its name is not UTF-8" in str(refusal(root))


def test_a_name_of_240_bytes_is_taken_and_a_longer_one_is_not(root: Path) -> None:
    (root / ("n" * 240)).write_bytes(b"")
    assert listed(root)["n" * 240] == 0
    (root / ("n" * 241)).write_bytes(b"")
    assert "longer than file systems allow" in str(refusal(root))


def test_a_file_that_changed_is_known_by_its_stamp(root: Path) -> None:
    source = DirectorySource(root)
    first, second = source.files()
    assert source.is_unchanged(first)
    os.utime(root / first.path, ns=(1, 1))
    (root / second.path).unlink()
    assert not source.is_unchanged(first)
    assert not source.is_unchanged(second)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("missing", "No such file or directory"),
        ("config.json", "it is not a directory"),
        ("n" * 300, "File name too long"),
    ],
)
def test_what_is_no_directory_is_no_source(what: str, why: str, root: Path) -> None:
    with pytest.raises(Unreadable, match=f"{what} cannot be read: {why}"):
        DirectorySource(root / what)


def test_a_directory_knows_its_license_only(root: Path) -> None:
    assert DirectorySource(root).origin == Origin("directory")
    (root / "README.md").write_text("---\nlicense: mit\n---\n")
    assert DirectorySource(root).origin == Origin("directory", license="mit")


def test_a_snapshot_of_the_hugging_face_cache_knows_repo_and_commit(tmp_path: Path) -> None:
    repo = tmp_path / "models--Acme--Demo"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "blobs" / "abc").write_bytes(b"---\nlicense: mit\n---\n")
    (snapshot / "README.md").symlink_to("../../blobs/abc")
    source = DirectorySource(snapshot)
    assert source.origin == Origin("hf-cache", "Acme/Demo", COMMIT, "mit")
    assert listed(snapshot) == {"README.md": 21}


@pytest.mark.parametrize("folder", [f"models--A--B/snapshots/{'c' * 39}", f"x/snapshots/{COMMIT}"])
def test_what_only_looks_like_a_snapshot_may_not_link_out(folder: str, tmp_path: Path) -> None:
    snapshot = tmp_path / folder
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "blobs").mkdir()
    (snapshot.parent.parent / "blobs" / "abc").write_bytes(b"x")
    (snapshot / "a").symlink_to("../../blobs/abc")
    assert DirectorySource(snapshot).origin.commit is None
    assert isinstance(refusal(snapshot), UnsafePath)
