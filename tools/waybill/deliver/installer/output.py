"""A release on disk: its folder, its archive, and the signed list of what is in it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from waybill.deliver.installer.bom import Contents, bom
from waybill.deliver.installer.release import Release
from waybill.errors import BadFile, BadValue
from waybill.sign.keys import Signer

FOLDER = "release"


@dataclass(frozen=True)
class Written:
    """Where it is; `signature` is None without a key."""

    folder: Path
    archive: Path
    bom: Path
    signature: Path | None


def write(
    release: Release, out: Path, signer: Signer | None, contents: Contents = MappingProxyType({})
) -> Written:
    """`out` appears whole or not at all. Raises BadValue, BadFile.

    The signature is what openssl makes of the list's bytes, as that of a bundle is.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        why = "it is there already and not an empty folder"
        raise BadValue(what="--out", value=str(out), why=why)
    stem = f"waybill-{release.target.name}-{release.version}"
    listed = bom(release, contents)
    content = {f"{FOLDER}/{name}": data for name, data in release.files.items()}
    content |= {f"{stem}.tar.gz": release.archive, f"{stem}.cdx.json": listed}
    if signer:
        content[f"{stem}.cdx.json.sig"] = signer.sign(listed)
    try:
        _whole(out, content)
    except OSError as error:
        raise BadFile(path=out, why=error.strerror or str(error)) from error
    signature = out / f"{stem}.cdx.json.sig" if signer else None
    return Written(out / FOLDER, out / f"{stem}.tar.gz", out / f"{stem}.cdx.json", signature)


def _whole(out: Path, content: dict[str, bytes]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        (part / FOLDER).mkdir()
        for name, data in content.items():
            (part / name).write_bytes(data)
        part.chmod(0o755)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
