"""What of a source is packed: everything, except a named list of what serving does not need.

An allow-list would lose `1_Pooling/config.json`, `*.tiktoken` or a model's own code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from waybill.errors import NothingToPack, PickleRefused
from waybill.source.base import SourceFile

_OTHER_WEIGHTS = re.compile(r"\.(bin|pt|pth|ckpt|h5|msgpack|ot)$")
_PICKLES = re.compile(r"\.(bin|pt|pth|ckpt|pkl|pickle)$")
_EXPORTS = {"onnx", "openvino", "coreml", "original"}
_METADATA = {".git", ".cache"}
_CONSOLIDATED = re.compile(r"consolidated[^/]*\.safetensors$")
_INDEX = re.compile(r"(.*)\.index\.json$")


@dataclass(frozen=True)
class Selection:
    """`dropped`: path -> why it is left out."""

    kept: tuple[SourceFile, ...]
    dropped: dict[str, str]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.kept)


def select(files: Sequence[SourceFile], source: str, *, allow_pickle: bool = False) -> Selection:
    """Raises NothingToPack, or PickleRefused when only pickled weights are there."""
    judge = _Judge(files)
    reasons = {file.path: judge.reason(file.path) for file in files}
    kept = tuple(file for file in files if reasons[file.path] is None)
    if not kept:
        raise NothingToPack(source=source, why="no file is left")
    pickles = [file.path for file in kept if _PICKLES.search(file.path)]
    if pickles and not allow_pickle:
        raise PickleRefused(source=source, paths=", ".join(pickles[:3]))
    return Selection(kept, {path: why for path, why in reasons.items() if why})


class _Judge:
    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._paths = {file.path for file in files}
        weights = [PurePosixPath(path) for path in self._paths if path.endswith(".safetensors")]
        self._folders = {path.parent for path in weights}
        self._sharded = {
            path.parent for path in weights if not _CONSOLIDATED.search(path.as_posix())
        }

    def reason(self, text: str) -> str | None:
        """Why a path is dropped, None when it is kept."""
        path = PurePosixPath(text)
        if _METADATA.intersection(path.parts):
            return "metadata of git or of a download"
        folder = next((part for part in path.parts[:-1] if part in _EXPORTS), None)
        if folder and self._outside(folder):
            return f"another format of the same weights ({folder}/)"
        if path.parent in self._folders and self._is_other_format(text):
            return f"safetensors of the same weights are in {path.parent}/"
        if _CONSOLIDATED.search(text) and path.parent in self._sharded:
            return "a consolidated copy of the same weights"
        return None

    def _outside(self, folder: str) -> bool:
        """Whether there are safetensors elsewhere than below `folder`."""
        return any(folder not in found.parts for found in self._folders)

    def _is_other_format(self, path: str) -> bool:
        index = _INDEX.match(path)
        return _OTHER_WEIGHTS.search(index.group(1) if index else path) is not None
