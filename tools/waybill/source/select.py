"""What of a source is packed: everything, except a named list of what serving does not need.

An allow-list would lose `1_Pooling/config.json`, `*.tiktoken` or a model's own code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from waybill.errors import BadValue, NothingToPack, PickleRefused
from waybill.manifest import check_tree
from waybill.sign import oms
from waybill.source.base import SourceFile

_WITH_PICKLES = "bin|pt|pth|pt2|ptl|torch|ckpt|nemo|mar"
_OTHER_WEIGHTS = re.compile(rf"\.({_WITH_PICKLES}|h5|msgpack|ot)$", re.IGNORECASE)
# No .npy and .npz: who loads them has to ask for the pickles in them.
_PICKLES = re.compile(
    rf"\.({_WITH_PICKLES}|pkl|pickle|cloudpickle|dill|joblib)(\.(gz|bz2|xz|lzma|zst|z))?$",
    re.IGNORECASE,
)
_EXPORTS = {"onnx", "openvino", "coreml", "original"}
_METADATA = {".git", ".cache"}
_CONSOLIDATED = re.compile(r"consolidated[^/]*\.safetensors$")
_INDEX = re.compile(r"(.*)\.index\.json$")


@dataclass(frozen=True)
class Choice:
    """A person's own patterns over paths, as `hf download` has them: `folder/` is all below it.

    With `include`, what matches is kept, also what the named list drops, and nothing else.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def check(self, paths: Sequence[str], source: str) -> None:
        """Raises BadValue for a pattern that matches nothing: most likely it is misspelt."""
        for flag, patterns in (("--include", self.include), ("--exclude", self.exclude)):
            for pattern in patterns:
                if not any(_matches(path, pattern) for path in paths):
                    raise BadValue(what=flag, value=pattern, why=f"no file of {source} matches it")

    def excluded_by(self, path: str) -> str | None:
        """The first pattern that takes a path away."""
        return next((each for each in self.exclude if _matches(path, each)), None)

    def includes(self, path: str) -> bool:
        return any(_matches(path, each) for each in self.include)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern)


@dataclass(frozen=True)
class Selection:
    """`dropped`: path -> why it is left out."""

    kept: tuple[SourceFile, ...]
    dropped: dict[str, str]


def select(
    files: Sequence[SourceFile],
    source: str,
    *,
    allow_pickle: bool = False,
    choice: Choice = Choice(),
) -> Selection:
    """Raises BadValue, UnsafePath, NothingToPack; PickleRefused for pickled weights alone."""
    choice.check([file.path for file in files], source)
    judge = _Judge(files, choice)
    reasons = {file.path: judge.reason(file.path) for file in files}
    kept = tuple(file for file in files if reasons[file.path] is None)
    if not kept:
        raise NothingToPack(source=source, why="no file is left")
    pickles = [file.path for file in kept if _PICKLES.search(file.path)]
    if pickles and not allow_pickle:
        raise PickleRefused(source=source, paths=", ".join(pickles[:3]))
    check_tree([file.path for file in kept], source)
    return Selection(kept, {path: why for path, why in reasons.items() if why})


class _Judge:
    def __init__(self, files: Iterable[SourceFile], choice: Choice) -> None:
        self._choice = choice
        # Weights that are excluded make no others superfluous.
        self._paths = {file.path for file in files if not choice.excluded_by(file.path)}
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
        if pattern := self._choice.excluded_by(text):
            return f"--exclude {pattern}"
        if self._choice.include:
            return None if self._choice.includes(text) else "no --include names it"
        if text == oms.NAME:
            return "a signature of the files, and none of them"
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
