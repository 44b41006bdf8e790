"""Charts as archives whose bytes depend on nothing but their content."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from waybill.deliver import helm
from waybill.deliver.helm import Manifest
from waybill.deliver.installer.targets import KUBERNETES
from waybill.errors import BadFile
from waybill.files import NOT_YAML
from waybill.manifest import safe_path
from waybill.source.layers import StrictInfo
from waybill.store.filesystem import sync_directory

_TOP = "/Chart.yaml"
_MALFORMED = (tarfile.TarError, OSError, EOFError, zlib.error, *NOT_YAML)
_NAME = r"[A-Za-z0-9][\w.+-]*"
CHART_LIMIT = 100_000_000
"""Bytes of a chart's tar; no real one has as many, and a bomb has more."""
_HEADER_LIMIT = 16_384
_KINDS = {
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME),
}
"""Files, folders, and what gives them long names: all that Helm writes into a package."""


@dataclass(frozen=True)
class Chart:
    """A chart's archive, and what its Chart.yaml says."""

    name: str
    version: str
    data: bytes
    facts: Mapping[str, Any]

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.tgz"

    @property
    def kubernetes(self) -> str:
        """The oldest version that it asks for, or the newest one where it names none."""
        lower = re.sub(r"<=?\s*v?[\w.-]+", "", str(self.facts.get("kubeVersion", "")))
        found = re.search(r"(>(?!=)\s*v?)?\b1\.(\d+)(?:\.(\d+))?", lower)
        if not found:
            return f"{KUBERNETES}.0"
        above, minor, patch = found.groups()
        return f"1.{minor}.{'99' if above or patch is None else patch}"

    @classmethod
    def read(cls, path: Path) -> Chart:
        """Raises BadFile for what is no chart's archive."""
        try:
            return cls.parse(path.read_bytes())
        except (OSError, ValueError) as error:
            raise BadFile(path=path, why=f"it is no archive of a chart ({error})") from error

    @classmethod
    def parse(cls, data: bytes) -> Chart:
        """Raises ValueError for what is no chart's archive."""
        try:
            content = unpacked(data)
            tops = [path for path in content if path.count("/") == 1 and path.endswith(_TOP)]
            facts = yaml.safe_load(content[tops[0]])
            if not re.fullmatch(_NAME, f"{facts['name']}-{facts['version']}"):
                raise ValueError("its name and version are no name of a file")
            return cls(str(facts["name"]), str(facts["version"]), data, facts)
        except _MALFORMED as error:
            raise ValueError(str(error)) from error


def packaged(folder: Path, version: str | None) -> Chart:
    """What `helm package` takes of a chart's folder. Raises HelmMissing, HelmFailed."""
    with tempfile.TemporaryDirectory() as made:
        flags = [f"--destination={made}", *([f"--version={version}"] if version else [])]
        helm.run("package", str(folder), *flags)
        (archive,) = Path(made).iterdir()
        return Chart.parse(archived(unpacked(archive.read_bytes())))


@contextmanager
def folder_of(path: Path) -> Iterator[Path]:
    """A chart as the folder that it is, or that it was packed from, for as long as this lasts.

    Raises BadFile for a file that is no chart's archive, UnsafePath.
    """
    if not path.is_file():
        yield path
        return
    chart = Chart.read(path)
    try:
        files = below(unpacked(chart.data), str(path))
    except ValueError as error:
        raise BadFile(path=path, why=f"it is no archive of a chart ({error})") from error
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / chart.name
        write_folder(folder, files)
        yield folder


def templated(chart: Chart, values: Any) -> list[Manifest]:
    """What Helm makes of it with these values. Raises HelmMissing, HelmFailed.

    A Helm that was built from source takes itself for one of an old Kubernetes, so it is told.
    """
    with tempfile.TemporaryDirectory() as made:
        archive, given = Path(made) / "chart.tgz", Path(made) / "values.json"
        archive.write_bytes(chart.data)
        given.write_text(json.dumps(values))
        flags = (f"--values={given}", f"--kube-version={chart.kubernetes}")
        return helm.documents(helm.run("template", "release", str(archive), *flags))


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files of a chart's archive by their path, in its order: all that is in it.

    Raises ValueError for what is no gzipped tar, or has more than plain files and folders.
    """
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            raw = stream.read(CHART_LIMIT + 1)
        if len(raw) > CHART_LIMIT:
            raise tarfile.TarError(f"there are more than {CHART_LIMIT:,} bytes in it")
        return dict(_contents(raw))
    except _MALFORMED as error:
        raise ValueError(str(error)) from error


def _contents(raw: bytes) -> Iterator[tuple[str, bytes]]:
    if b"GNU.sparse." in raw:
        # A map of a file's holes, of any length, would be read before the file is seen.
        raise tarfile.TarError("a file with holes does not belong into a chart")
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", tarinfo=_Member) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or member.size < 0:
                raise tarfile.TarError(f"{member.name} does not belong into a chart")
            if reader := archive.extractfile(member):
                yield str(path), reader.read()


class _Member(StrictInfo):
    """Keeps nothing of its headers, which would take many times their bytes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in _KINDS:
            raise tarfile.TarError(f"{found.name} is neither a file nor a folder")
        if found.size > _HEADER_LIMIT and not found.isfile():
            raise tarfile.TarError(f"{found.name} does not belong into a chart")
        return found

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _Member:
        tarfile.pax_headers.clear()  # type: ignore[attr-defined]
        found = super().fromtarfile(tarfile)
        found.pax_headers = {}
        return found


def below(content: Mapping[str, bytes], where: str) -> dict[str, bytes]:
    """By their path below the one folder that all are in. Raises UnsafePath, ValueError."""
    tops = {path.partition("/")[0] for path in content}
    if len(tops) != 1:
        raise ValueError("its files are not in one folder")
    files = {safe_path(path.partition("/")[2], where): data for path, data in content.items()}
    for name in files:
        for above in PurePosixPath(name).parents:
            if str(above) in files:
                raise ValueError(f"{above} is both a file and a folder in it")
    return files


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """On disk when this returns: what a template lost, Helm would leave out without a word."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    for one in (folder, *folder.rglob("*")):
        if one.is_dir():
            sync_directory(one)


def archived(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar of the files: no time, no owner, one order."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(files[path]), 0o644
            archive.addfile(member, io.BytesIO(files[path]))
    packed = io.BytesIO()
    # Not gzip.compress(): which operating system its header names depends on Python's version.
    with gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as stream:
        stream.write(raw.getvalue())
    return packed.getvalue()
