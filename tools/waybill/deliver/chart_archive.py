"""The chart as `helm package` makes it, the same bytes from the same files."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from waybill.errors import BadFile, Unreadable

_IGNORE = ".helmignore"


def packaged(chart: Path) -> tuple[str, bytes]:
    """Name and bytes of `<name>-<version>.tgz`, of a folder or of an archive that is one already.

    Raises BadFile, Unreadable.
    """
    if chart.is_file():
        return chart.name, _read(chart)
    about = _about(chart / "Chart.yaml")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in _files(chart):
            content = _read(path)
            info = tarfile.TarInfo(f"{about['name']}/{path.relative_to(chart).as_posix()}")
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return f"{about['name']}-{about['version']}.tgz", gzip.compress(data.getvalue(), mtime=0)


def _about(path: Path) -> dict[str, str]:
    try:
        value = yaml.safe_load(_read(path))
        return {"name": str(value["name"]), "version": str(value["version"])}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise BadFile(path=path, why="it names no chart with its version") from error


def _files(chart: Path) -> Iterator[Path]:
    """Chart.yaml first, as Helm has it; links count as what they lead to."""
    ignored = _patterns(chart / _IGNORE)
    first = chart / "Chart.yaml"
    found = [path for path in chart.rglob("*") if path.is_file() and path != first]
    yield first
    for path in sorted(found):
        if not any(_matches(path.relative_to(chart), pattern) for pattern in ignored):
            yield path


def _patterns(path: Path) -> list[str]:
    lines = _read(path).decode().splitlines() if path.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if wrong := [one for one in patterns if "**" in one or one.startswith("!")]:
        raise BadFile(path=path, why=f"patterns as {wrong[0]} are not known here")
    return patterns


def _matches(path: Path, pattern: str) -> bool:
    """Of a file, or of a folder that it is in: `name/` is a folder, `/name` one at the top."""
    folders, top = pattern.endswith("/"), pattern.startswith("/")
    wanted = pattern.strip("/")
    for one in (path, *path.parents):
        if one == Path() or (folders and one == path):
            continue
        name = one.as_posix() if top or "/" in wanted else one.name
        if fnmatchcase(name, wanted):
            return True
    return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(path=path, why=error.strerror) from error
