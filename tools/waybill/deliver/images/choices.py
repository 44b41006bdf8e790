"""What people choose from: apart from what does it, which every `--help` would have to import."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from enum import StrEnum

from waybill.errors import BadValue, LoaderMissing

LIMIT = 1_000_000_000
"""Bytes of a model that an image may hold, unless people say otherwise."""
_CONTAINERD = "containerd"
RUNTIMES: Mapping[str, Sequence[str]] = {
    _CONTAINERD: ("ctr", "--namespace=k8s.io", "images", "import", "-"),
    "docker": ("docker", "load"),
    "podman": ("podman", "load"),
}
"""Runtime -> the command that takes an OCI archive on its standard input."""


class Form(StrEnum):
    """`artifact`: each file a layer, as the CNCF ModelPack has it; `image`: files in a layer."""

    ARTIFACT = "artifact"
    IMAGE = "image"


def command(runtime: str | None, address: str | None) -> list[str]:
    """Of the runtime, or of the first that there is; `address`: containerd's socket.

    Raises LoaderMissing, and BadValue for a socket of another runtime.
    """
    known = [runtime] if runtime else list(RUNTIMES)
    found = next((one for one in known if shutil.which(RUNTIMES[one][0])), None)
    if found is None:
        names = [RUNTIMES[one][0] for one in known]
        raise LoaderMissing(program=", ".join(names))
    first, *rest = RUNTIMES[found]
    if address is None:
        return [first, *rest]
    if found != _CONTAINERD:
        raise BadValue(what="--address", value=address, why=f"it is containerd's, not {found}'s")
    return [first, f"--address={address}", *rest]
