"""A second revision with one file in a hundred changed: what is packed, and what is sent."""

from __future__ import annotations

import shutil
from pathlib import Path

from ci.bench.cases.measure import noise, waybill
from ci.bench.cases.stage import REPO, model, server
from tests.faults import faulty

FILES = 100


def share(folder: Path, size: int) -> dict[str, float]:
    """Bytes on the medium, and bytes on the wire, as shares of the changed file's."""
    source = model(folder / "model", size, FILES)
    waybill("pack", source, "--as", REPO, "--out", folder / "first")
    with server(folder / "minio") as there:
        where = there.store()
        waybill("sideload", folder / "first", "--to", *where)
        changed = noise(source / "model-00042-of-00100.safetensors", size // FILES)
        waybill("pack", source, "--as", REPO, "--out", folder / "next", "--base", folder / "first")
        (folder / "next" / ".waybill-pack.json").unlink()
        packed = sum(path.stat().st_size for path in (folder / "next").iterdir())
        with faulty(there.minio.endpoint) as seen:
            waybill("sideload", folder / "next", "--to", where[0], "--endpoint", seen.endpoint)
        shutil.rmtree(folder / "first")
        bytes_ = changed.stat().st_size
        return {"packed": packed / bytes_, "sent": seen.sent / bytes_}
