"""The people's values file of an environment: single values set, everything else as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from waybill.deliver import surgery
from waybill.deliver.surgery import Keys, Scalar
from waybill.errors import BadFile, CannotSet, EditedMeanwhile
from waybill.files import NOT_YAML
from waybill.store import locks
from waybill.store.filesystem import sync_directory

_TYPED = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def model(path: Path, name: str) -> Mapping[str, Any]:
    """The entry of `global.models`; empty where there is none. Raises BadFile."""
    held: Any = _parsed(path, read(path))
    at = ""
    for key in ("global", "models", name):
        held = held.get(key)
        at = f"{at}.{key}".removeprefix(".")
        if held is None:
            return {}
        if not isinstance(held, dict):
            raise BadFile(path=path, why=f"{at} is not a map")
    return dict(held)


def with_model(path: Path, name: str, entry: Mapping[str, Scalar]) -> str:
    """The file's text with these keys of the model's entry set. Raises BadFile, CannotSet."""
    held = model(path, name)
    wanted = {key: value for key, value in entry.items() if held.get(key) != value}
    return changed(path, [(("global", "models", name, key), one) for key, one in wanted.items()])


def changed(path: Path, changes: Sequence[tuple[Keys, Scalar]]) -> str:
    """The file's text with these values at these paths. Raises BadFile, CannotSet."""
    text = read(path)
    _parsed(path, text)
    for keys, value in changes:
        try:
            # An argument may be in another encoding, or name half of a surrogate pair.
            str(value).encode()
            text = surgery.edited(text, keys, value)
        except ValueError as error:
            raise CannotSet(path=path, key=surgery.spelled(keys), why=error) from error
    return text


def value(path: Path, keys: Keys) -> Scalar:
    """What is there now; None where nothing is. Raises BadFile, CannotSet."""
    text = read(path)
    _parsed(path, text)
    try:
        return surgery.value_at(text, keys)
    except ValueError as error:
        raise CannotSet(path=path, key=surgery.spelled(keys), why=error) from error


def meant(text: str, held: Scalar) -> Scalar:
    """What somebody means who writes this where `held` is: a string stays one.

    Elsewhere true, false, null and plain numbers are such; in double quotes it is a string anyhow.
    """
    if text.startswith('"'):
        with suppress(ValueError):
            if isinstance(found := json.loads(text), str):
                return found
    if isinstance(held, str) or not _TYPED.fullmatch(text):
        return text
    return json.loads(text)  # type: ignore[no-any-return] # the pattern says that it is a scalar


def read(path: Path) -> str:
    """The text with the line ends that it has; empty where there is no file. Raises BadFile."""
    try:
        return path.read_bytes().decode() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path=path, why=f"it cannot be read ({error})") from error


def write(path: Path, text: str, was: str | None = None) -> None:
    """Replace the file in one step. Its mode stays, and so does a link that leads to it.

    `was` is the text that this one was made from. Raises BadFile, and EditedMeanwhile where
    another one is there by now.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        # A name or a reason that was given in another encoding, or half of a surrogate pair.
        bad = ascii(text[error.start])
        raise BadFile(path=path, why=f"it would hold {bad}, which is no character") from error
    path = path.resolve()
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(path.with_name(f".{path.name}.lock"), wait=True):
            if was not in (None, read(path)):
                raise EditedMeanwhile(path=path)
            with draft.open("wb") as stream:
                if path.exists():
                    shutil.copymode(path, draft)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
            sync_directory(path.parent)
    except OSError as error:
        raise BadFile(path=path, why=f"it cannot be written ({error.strerror})") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        surgery.check(text)
        found = yaml.safe_load(text)
    except NOT_YAML as error:
        first = next(iter(str(error).splitlines()), "")
        raise BadFile(path=path, why=first) from error
    if not isinstance(found, dict | None):
        raise BadFile(path=path, why="it is not a map")
    return found or {}
