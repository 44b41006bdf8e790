"""Charts as archives whose bytes depend on nothing but their content."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from waybill.deliver import helm
from waybill.deliver.helm import Manifest
from waybill.deliver.installer.targets import KUBERNETES
from waybill.errors import BadFile
from waybill.files import NOT_YAML

_TOP = "/Chart.yaml"
_MALFORMED = (tarfile.TarError, OSError, EOFError, zlib.error, *NOT_YAML)
_NAME = r"[A-Za-z0-9][\w.+-]*"
_LIMIT = 100_000_000
"""Bytes of all files of a chart; no real one has as many, and a bomb has more."""


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
    """The files of a tar by their path, in order of the tar. Raises what tarfile raises."""
    found, size = {}, 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if not member.isfile():
                continue
            size += member.size
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or size > _LIMIT:
                raise tarfile.TarError(f"{member.name} does not belong into a chart")
            reader = archive.extractfile(member)
            found[str(path)] = reader.read() if reader else b""
    return found


def archived(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar of the files: no time, no owner, one order."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(files[path]), 0o644
            archive.addfile(member, io.BytesIO(files[path]))
    return gzip.compress(raw.getvalue(), mtime=0)
