"""How a source is reached, and where sources of this machine may lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from waybill.errors import OutsideRoots


@dataclass(frozen=True)
class Roots:
    """Directories that local sources are confined to: to one of each group; no group, no limit.

    Whoever runs a service confines it, and whoever calls it may confine it further, never less.
    """

    groups: tuple[tuple[Path, ...], ...] = ()

    def allow(self, path: Path) -> bool:
        """Whether the path, all links followed, is below a root of each group."""
        real = path.resolve()
        return all(
            any(real.is_relative_to(root.resolve()) for root in group) for group in self.groups
        )

    def check(self, path: Path) -> Path:
        """The path. Raises OutsideRoots."""
        if not self.allow(path):
            roots = "; ".join(", ".join(map(str, group)) for group in self.groups)
            raise OutsideRoots(path=path, roots=roots)
        return path


@dataclass(frozen=True)
class Reach:
    """What a URL does not say. None of it is a secret; files, profiles and variables hold those."""

    endpoint: str | None = None
    """URL of the S3 server, or of the Hugging Face endpoint."""
    profile: str | None = None
    ca_bundle: str | None = None
    token_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    sha256: str | None = None
    """What the file that an http(s) URL names must have, in 64 hex digits."""
    roots: Roots = field(default_factory=Roots)
