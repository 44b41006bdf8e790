"""Images straight into a container runtime of this machine, with no registry."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from waybill.bundle.media import Bundle
from waybill.deliver.images.archive import Archive
from waybill.deliver.images.parts import by_part, stack_of
from waybill.errors import ImagesNotWhole, LoaderFailed, LoaderMissing, MediaFull
from waybill.source.reference import Place, Reference
from waybill.store.base import Advance, no_progress

RUNTIMES: Mapping[str, Sequence[str]] = {
    "containerd": ("ctr", "--namespace", "k8s.io", "images", "import", "-"),
    "docker": ("docker", "load"),
    "podman": ("podman", "load"),
}
"""Runtime -> the command that takes an OCI archive on its standard input."""


def command(runtime: str | None, address: str | None) -> list[str]:
    """Of the runtime, or of the first that there is; `address`: containerd's socket.

    Raises LoaderMissing.
    """
    known = [runtime] if runtime else list(RUNTIMES)
    found = next((one for one in known if shutil.which(RUNTIMES[one][0])), None)
    if found is None:
        names = [RUNTIMES[one][0] for one in known]
        raise LoaderMissing(program=", ".join(names))
    first, *rest = RUNTIMES[found]
    return [first, *([f"--address={address}"] if address else []), *rest]


def archive_of(bundle: Bundle, place: Place | None) -> Archive:
    """All images, under their own names or as `global.imageRegistry` has them.

    Raises NoImages, ImagesNotWhole, PartMissing.
    """
    images = stack_of(bundle).images
    for image in images:
        for blob in image.blobs:
            if blob.digest not in bundle.index.blobs:
                base = bundle.index.base.name if bundle.index.base else "nothing"
                where = "an archive"
                raise ImagesNotWhole(image=image.name, blob=blob.digest, base=base, where=where)
    if place:
        images = tuple(
            replace(one, name=str(Reference.parse(one.name).at(str(place)))) for one in images
        )
    blobs = {blob.digest: blob for image in images for blob in image.blobs}
    ordered = by_part(bundle, blobs.values())
    bundle.require(part for blob in ordered for part in bundle.content(blob.digest).parts)
    return Archive(images, ordered, lambda blob: bundle.content(blob.digest))


def pipe(command: Sequence[str], chunks: Iterable[bytes], advance: Advance = no_progress) -> str:
    """Give the program the chunks; what it said. Raises LoaderFailed, and what the chunks do."""
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, bufsize=0
        ) as program:
            try:
                _feed(program, chunks, advance)
            except BrokenPipeError:
                # It has ended, and says why.
                pass
            except BaseException:
                program.kill()
                raise
        said.seek(0)
        text = said.read().decode(errors="replace").strip()
    if program.returncode:
        lines = text.splitlines() or [f"it ended with {program.returncode}"]
        raise LoaderFailed(command=" ".join(command[:2]), why=lines[-1])
    return text


def _feed(program: subprocess.Popen[bytes], chunks: Iterable[bytes], advance: Advance) -> None:
    assert program.stdin  # noqa: S101 - it is a pipe
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[program.stdin.write(view) :]
        advance(len(chunk))
    program.stdin.close()


def write(path: Path, chunks: Iterable[bytes], advance: Advance = no_progress) -> None:
    """The archive as a file, which has its name once it is whole. Raises MediaFull."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                advance(len(chunk))
        partial.replace(path)
    except OSError as error:
        raise MediaFull(where=path, needed="its bytes", free=f"none ({error.strerror})") from error
