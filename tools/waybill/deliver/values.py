"""The people's values file of an environment: a model's entry, set without touching the rest."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from waybill.errors import BadFile


def model(path: Path, name: str) -> Mapping[str, Any]:
    """The entry of `global.models`; empty where there is none. Raises BadFile."""
    return dict(_models(path, _load(path)).get(name) or {})


def with_model(path: Path, name: str, entry: Mapping[str, Any]) -> str:
    """The file's text with these keys of the entry set, all else and all comments as they were.

    Raises BadFile.
    """
    document = _load(path)
    models = _models(path, document)
    held = models.setdefault(name, CommentedMap())
    if not isinstance(held, dict):
        raise BadFile(path=path, why=f"global.models.{name} is not a map")
    held.update({key: value for key, value in entry.items() if held.get(key) != value})
    text = io.StringIO()
    _yaml().dump(document, text)
    return text.getvalue()


def write(path: Path, text: str) -> None:
    """Replace the file in one step. Raises BadFile."""
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        raise BadFile(path=path, why=f"it cannot be written ({error.strerror})") from error


def _yaml() -> YAML:
    """Keeps quotes, order and line breaks."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(path: Path) -> CommentedMap:
    try:
        document = _yaml().load(path.read_text("utf-8")) if path.exists() else None
    except (OSError, UnicodeDecodeError, YAMLError, ValueError, RecursionError) as error:
        first = next(iter(str(error).splitlines()), "")
        raise BadFile(path=path, why=f"it is not YAML text ({first})") from error
    if document is None:
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        raise BadFile(path=path, why="it is not a map")
    return document


def _models(path: Path, document: CommentedMap) -> Any:
    """`global.models`, made where it is missing."""
    held: Any = document
    for key in ("global", "models"):
        if held.get(key) is None:
            held[key] = CommentedMap()
        held = held[key]
        if not isinstance(held, dict):
            raise BadFile(path=path, why=f"{key} is not a map")
    return held
