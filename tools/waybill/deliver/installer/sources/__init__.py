"""The documents of a release as far as they are the same for all installers."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml

HERE = resources.files(__name__)
SETTINGS = HERE / "settings"
"""The chart that makes objects of what a person has told the installer."""


def document(name: str) -> Any:
    """A fresh copy of a document, or of a list of them."""
    return yaml.safe_load((HERE / f"{name}.yaml").read_text())


def files(folder: Traversable, below: str = "") -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    found: dict[str, bytes] = {}
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        path = f"{below}{each.name}"
        found |= files(each, f"{path}/") if each.is_dir() else {path: each.read_bytes()}
    return found
