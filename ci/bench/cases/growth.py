"""Time and memory of a sideload as the model grows: real bytes into MinIO, and a sink that hashes.

The sink is a directory store that checks contents and forgets them, so that a size can be shown
that no disk here would hold.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ci.bench.cases.measure import MEASURED, Cost, python, shell, waybill
from ci.bench.cases.stage import REPO, model, server

SINK = """
import sys
from pathlib import Path
from waybill import digest as digests
from waybill.bundle.cargo import BundleCargo
from waybill.bundle.media import Bundle
from waybill.bundle.sideload import Decision, Loading
from waybill.store.filesystem import FilesystemBackend
from waybill.store.layout import Ref
from waybill.store.store import Store

class Sink(FilesystemBackend):
    def room(self, blobs):
        return None

    def upload(self, key, blob, content, advance, replace=False):
        if blob.size < 1 << 20:
            return super().upload(key, blob, content, advance, replace)
        with content.open(0, blob.size) as stream:
            for chunk in digests.verified(stream, blob.digest, blob.size, key):
                advance(len(chunk))
        return True

store = Store(Sink(Path(sys.argv[2])))
store.init()
decision = Decision((Ref("heads", "main"),), "a benchmark", "to see")
Loading.plan(BundleCargo(Bundle.open([Path(sys.argv[1])])), store, decision).run()
"""
# A disk that seems to have room: what is dug out of a part while it is written needs none.
PACK = f"""
from waybill.bundle import outputs
outputs._free = lambda outs: 1 << 60
{MEASURED}
"""
# Zeros are written like other bytes; what is finished gives its room back.
DIG = """
while sleep 1; do
    for part in "$1"/part-*.tar; do fallocate --dig-holes "$part" 2>/dev/null || :; done
done
"""


def into_minio(folder: Path, size: int, files: int = 4) -> dict[str, Cost]:
    """Of each step from a directory back into one."""
    source = model(folder / "model", size, files)
    packed = waybill("pack", source, "--as", REPO, "--out", folder / "bundle")
    shell('rm -r "$1"', source)
    verified = waybill("verify", folder / "bundle")
    with server(folder / "minio") as there:
        url, *reach = there.store()
        sent = waybill("sideload", folder / "bundle", "--to", url, *reach)
        shell('rm -r "$1"', folder / "bundle")
        pulled = waybill("pull", REPO, "--from", url, *reach, "--out", folder / "back")
    shell('rm -r "$1"', folder)
    return {"pack": packed, "verify": verified, "sideload": sent, "pull": pulled}


def into_sink(folder: Path, size: int) -> dict[str, Cost]:
    """A file of zeros, so that neither it nor its parts need room."""
    source, bundle = folder / "model", folder / "bundle"
    source.mkdir(parents=True)
    (source / "model.safetensors").touch()
    os.truncate(source / "model.safetensors", size)
    digger = subprocess.Popen(["bash", "-c", DIG, "dig", str(bundle)])
    try:
        packed = python(PACK, "pack", source, "--as", REPO, "--out", bundle, "--quiet")
    finally:
        digger.kill()
    read = python(SINK, bundle, folder / "store")
    shell('rm -r "$1"', folder)
    return {"pack": packed, "sideload": read}
