"""Uploads to registries that were begun and not ended, so that the next run goes on with them."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from waybill.digest import Digest


def _folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or f"{os.environ.get('HOME', '')}/.local/state"
    return Path(home) / "waybill/uploads"


@dataclass(frozen=True)
class Begun:
    """Of one repository: a file a blob, in the user's own state.

    Where that cannot be written, or what it says is not so any more, an upload begins anew.
    """

    repository: str

    def _path(self, blob: Digest) -> Path:
        return _folder() / hashlib.sha256(f"{self.repository}@{blob}".encode()).hexdigest()

    def place(self, blob: Digest) -> str:
        """Where the rest goes to; "" where nothing is known."""
        try:
            return self._path(blob).read_text("ascii")
        except (OSError, ValueError):
            return ""

    def keep(self, blob: Digest, place: str) -> None:
        path = self._path(blob)
        with suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever knows it could send something else there.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(place)

    def drop(self, blob: Digest) -> None:
        with suppress(OSError):
            self._path(blob).unlink()
