"""Images straight into a container runtime of this machine, with no registry."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from waybill.deliver.images.archive import Archive
from waybill.deliver.images.blobs import Blobs
from waybill.deliver.images.parts import stack_of
from waybill.deliver.images.push import targets
from waybill.errors import ArchiveUnwritable, LoaderFailed
from waybill.source.reference import Place
from waybill.store.base import Advance, no_progress

_STEP = "give the earlier bundle, too (--base DIR)"


def archive_of(blobs: Blobs, place: Place | None) -> Archive:
    """All images, under their own names or as `global.imageRegistry` has them.

    Raises NoImages, ImagesNotWhole, SameName, PartMissing.
    """
    stack = stack_of(blobs.bundle)
    images = stack.images
    if place:
        images = tuple(replace(one.image, name=str(one.name)) for one in targets(stack, place))
    ordered = blobs.by_part(blob for image in images for blob in image.blobs)
    for image in stack.images:
        for blob in image.blobs:
            if not blobs.holder(blob):
                raise blobs.not_whole(image.name, blob, "the bundles that are given", _STEP)
    blobs.require(ordered)
    return Archive(images, ordered, blobs.content)


def pipe(command: Sequence[str], chunks: Iterable[bytes], advance: Advance = no_progress) -> str:
    """Give the program the chunks; what it said. Raises LoaderFailed, and what the chunks do.

    One that ends well before it has all has failed, too: it cannot know what it has not read.
    """
    whole = False
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, bufsize=0
        ) as program:
            try:
                assert program.stdin  # noqa: S101 - it is a pipe
                _copy(chunks, program.stdin.write, advance)
                program.stdin.close()
                whole = True
            except BrokenPipeError:
                # It has ended, and says why.
                pass
            except BaseException:
                program.kill()
                raise
        said.seek(0)
        text = said.read().decode(errors="replace").strip()
    if program.returncode or not whole:
        ended = f"it ended with {program.returncode}" + ("" if whole else " before it had all")
        lines = text.splitlines() if program.returncode else []
        name = " ".join(word for word in command if not word.startswith("-"))
        raise LoaderFailed(command=name, why=lines[-1] if lines else ended)
    return text


def write(path: Path, chunks: Iterable[bytes], advance: Advance = no_progress) -> None:
    """The archive as a file, which has its name once it is whole and on disk.

    Raises ArchiveUnwritable, and what the chunks do; nothing is left then.
    """
    partial = path.with_name(f"{path.name}.partial")
    with naming(path):
        stream = partial.open("wb", buffering=0)

    def put(data: memoryview) -> int:
        with naming(path):
            return stream.write(data)

    try:
        with stream:
            _copy(chunks, put, advance)
            with naming(path):
                os.fsync(stream.fileno())
        with naming(path):
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _copy(chunks: Iterable[bytes], put: Callable[[memoryview], int], advance: Advance) -> None:
    """`put` may take less than it is given."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[put(view) :]
        advance(len(chunk))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Failures of the system there are raised as ArchiveUnwritable."""
    try:
        yield
    except OSError as error:
        raise ArchiveUnwritable(path=path, why=error.strerror or str(error)) from error
