"""What was read of a file, beside what its source says of it."""

from __future__ import annotations

from waybill.bundle.journal import Finished
from waybill.bundle.lanes import FileHash
from waybill.errors import SourceCorrupt
from waybill.source.base import Source, SourceFile


def finished(source: Source, file: SourceFile, found: FileHash) -> Finished:
    """Raises SourceCorrupt when the source names another digest, or git blob id."""
    what = f"{file.path} from {source}"
    if file.digest and file.digest != found.digest:
        raise SourceCorrupt(what=what, expected=file.digest, found=found.digest)
    if file.git_oid and found.git_blob and file.git_oid != found.git_blob:
        raise SourceCorrupt(what=what, expected=file.git_oid, found=found.git_blob)
    return Finished(found.digest, found.pieces, found.git_oid)
