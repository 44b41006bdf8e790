"""What a bundle carries beside models: images of containers, and files, as the chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from waybill.digest import Digest
from waybill.errors import BadFile, ImageUnusable
from waybill.manifest import File, safe_path
from waybill.source.images import Image


@dataclass(frozen=True)
class Stack:
    """`first`: the number of the part that it begins with; models are in those before.

    `files` have the paths that they are restored to.
    """

    first: int
    images: tuple[Image, ...]
    files: tuple[File, ...]

    @property
    def title(self) -> str:
        count = len(self.images)
        return f"{count} images" if count != 1 else "1 image"

    @property
    def charts(self) -> list[File]:
        """The archives of charts."""
        return [file for file in self.files if file.path.startswith("charts/")]

    @cached_property
    def contents(self) -> Mapping[Digest, int]:
        """Size of all that has to be there, manifests too."""
        found = {file.digest: file.size for file in self.files}
        for image in self.images:
            found |= {one.digest: one.size for one in (image.descriptor, *image.blobs)}
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "firstPart": self.first,
            "images": [
                {"name": one.name, "manifest": one.manifest.decode()} for one in self.images
            ],
            "files": [
                {"path": one.path, "digest": one.digest, "size": one.size} for one in self.files
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Stack:
        """Raises BadFile, UnsafePath."""
        try:
            images = [Image.parse(one["name"], one["manifest"].encode()) for one in value["images"]]
        except ImageUnusable as error:
            raise BadFile(path=where, why=str(error)) from error
        files = [
            File(safe_path(one["path"], where), Digest(one["digest"]), one["size"])
            for one in value["files"]
        ]
        return cls(value["firstPart"], tuple(images), tuple(files))
