"""The files and folders of a revision, as Hugging Face lists them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from waybill import digest as digests
from waybill.manifest import File, Manifest

Item = dict[str, Any]


class Tree:
    """Built once for a revision; lists any folder of it."""

    def __init__(self, manifest: Manifest) -> None:
        self._files = manifest.by_path
        self._folders = folder_oids(manifest)
        self._paths = sorted([*self._files, *self._folders])

    def has_folder(self, path: str) -> bool:
        """The root is the folder ''."""
        return not path or path in self._folders

    def item(self, path: str) -> Item | None:
        """A file's or a folder's entry; None when the revision has no such path."""
        if file := self._files.get(path):
            return file_item(file)
        if oid := self._folders.get(path):
            return {"type": "directory", "path": path, "size": 0, "oid": oid}
        return None

    def page(
        self, folder: str, *, recursive: bool, after: str, limit: int
    ) -> tuple[list[Item], str | None]:
        """Up to `limit` entries below `folder` whose path sorts behind `after`.

        The second value is the `after` of the next page, None on the last page.
        """
        start = bisect_right(self._paths, after)
        paths = [path for path in self._paths[start:] if _is_below(path, folder, recursive)]
        items = [item for path in paths[:limit] if (item := self.item(path))]
        return items, paths[limit - 1] if len(paths) > limit else None


def _is_below(path: str, folder: str, recursive: bool) -> bool:
    if recursive:
        return not folder or path.startswith(folder + "/")
    return path.rpartition("/")[0] == folder


def file_item(file: File) -> Item:
    item: Item = {"type": "file", "path": file.path, "size": file.size, "oid": file.oid}
    if file.git_oid is None:
        item["lfs"] = {"oid": digests.hex_of(file.digest), **lfs_sizes(file)}
    return item


def lfs_sizes(file: File) -> dict[str, int]:
    return {"size": file.size, "pointerSize": len(file.lfs_pointer)}


def folder_oids(manifest: Manifest) -> dict[str, str]:
    """Path of each folder -> git's id of it, as if every file had mode 100644."""
    entries: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    folders = {
        str(parent) for file in manifest.files for parent in PurePosixPath(file.path).parents
    } - {"."}
    for file in manifest.files:
        parent, _, name = file.path.rpartition("/")
        entries[parent].append((name, "100644", file.oid))
    oids = {}
    for folder in sorted(folders, key=lambda path: path.count("/"), reverse=True):
        oids[folder] = git_tree_id(entries[folder])
        parent, _, name = folder.rpartition("/")
        entries[parent].append((name, "40000", oids[folder]))
    return oids


def git_tree_id(entries: list[tuple[str, str, str]]) -> str:
    """Git's object id of a folder with these entries: (name, mode, object id)."""
    data = b"".join(
        f"{mode} {name}\0".encode() + bytes.fromhex(oid)
        for name, mode, oid in sorted(entries, key=_git_order)
    )
    return hashlib.sha1(b"tree %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git_order(entry: tuple[str, str, str]) -> bytes:
    name, mode, _ = entry
    return (name + "/" if mode == "40000" else name).encode()
