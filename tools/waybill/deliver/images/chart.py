"""The charts of a bundle as folders that Helm reads: whole and as they were signed, or not at all.

What stands there already is the same to the byte, and stays, or it is another one, and is named.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from waybill.bundle.media import Bundle
from waybill.deliver.images.load import naming
from waybill.deliver.images.parts import small_file, stack_of
from waybill.deliver.installer.charts import Chart, below, unpacked, write_folder
from waybill.digest import Digest
from waybill.errors import BadFile, ChartDiffers, ChartLeftOut
from waybill.manifest import File
from waybill.store.filesystem import sync_directory


@dataclass(frozen=True)
class Restoring:
    """A chart that was read and checked, and the folder that it becomes.

    `found`: something stands there; `differs`: in what it is not the chart, '' where it is.
    """

    chart: Chart
    digest: Digest
    path: Path
    files: Mapping[str, bytes]
    found: bool
    differs: str

    @classmethod
    def plan(cls, bundle: Bundle, out: Path, *, replace: bool = False) -> list[Restoring]:
        """Changes nothing.

        Raises NoImages, ChartLeftOut, PartMissing, Corrupt, BadFile, UnsafePath; ChartDiffers for
        another one in its place, unless it may be replaced.
        """
        charts = stack_of(bundle).charts
        if not charts:
            raise ChartLeftOut(where=", ".join(map(str, bundle.folders)))
        found = [cls._of(file, small_file(bundle, file), out) for file in charts]
        for at, one in enumerate(found):
            if one.path in [before.path for before in found[:at]]:
                why = f"the bundle has another version of the chart {one.chart.name}"
                raise BadFile(path=charts[at].path, why=why)
            if one.differs and not replace:
                raise ChartDiffers(path=one.path, chart=one.chart.file, why=one.differs)
        return found

    @classmethod
    def _of(cls, file: File, data: bytes, out: Path) -> Restoring:
        try:
            chart = Chart.parse(data)
            files = below(unpacked(data), file.path)
            if not file.path.endswith(f"/{chart.file}"):
                # What was let in under one name is not to become another.
                raise ValueError(f"its name inside is {chart.file}")
        except ValueError as error:
            raise BadFile(path=file.path, why=f"it is no archive of a chart ({error})") from error
        path = out / chart.name
        with naming(path):
            found = os.path.lexists(path)
            differs = _difference(path, files) if found else ""
        return cls(chart, file.digest, path, files, found, differs)

    @property
    def there(self) -> bool:
        """Nothing is left to do."""
        return self.found and not self.differs

    @cached_property
    def _before(self) -> Path:
        """What is replaced, until the new one stands there."""
        return self.path.with_name(f".{self.path.name}.before")

    def run(self) -> None:
        """Raises ArchiveUnwritable; a rerun begins anew, and leaves nothing of this one."""
        partial = self.path.with_name(f".{self.path.name}.partial")
        with naming(self.path):
            _remove(partial)
            if not self.there:
                try:
                    write_folder(partial, self.files)
                except BaseException:
                    shutil.rmtree(partial, ignore_errors=True)
                    raise
                if self.found:
                    _remove(self._before)
                    self.path.rename(self._before)
                partial.rename(self.path)
                sync_directory(self.path.parent)
            _remove(self._before)


def _difference(path: Path, files: Mapping[str, bytes]) -> str:
    """What is not the same, or not in both: the first by name."""
    if path.is_symlink() or not path.is_dir():
        return "it is no folder"
    found = {
        str(each.relative_to(path)): each
        for each in path.rglob("*")
        if each.is_symlink() or not each.is_dir()
    }
    for name in sorted({*found, *files}):
        each = found.get(name)
        plain = each is not None and each.is_file() and not each.is_symlink()
        if not plain or files.get(name) != each.read_bytes():  # type: ignore[union-attr]
            return f"{name} differs"
    return ""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
