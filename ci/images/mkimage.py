#!/usr/bin/env python3
"""Makes an OCI archive (for `ctr images import` or `docker load`) with no registry and no daemon.

Usage: mkimage.py OUT.tar NAME --layer TAR... --entrypoint WORD...

The same layers give the same digests. Needs the standard library alone, because it runs before
there is an environment of the project.
"""

import argparse
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
PLATFORM = {"architecture": "amd64", "os": "linux"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("name", help="registry/repository:tag")
    parser.add_argument("--layer", type=Path, action="append", required=True)
    parser.add_argument("--entrypoint", action="append", default=[], help="one word of it")
    parser.add_argument("--cmd", action="append", default=[], help="one word of it")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--user", default="")
    return parser.parse_args()


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


class Archive:
    """An OCI image layout, written as one tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.there: set[str] = set()

    def put_bytes(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self.tar.addfile(member, io.BytesIO(data))

    def put_json(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        """Its descriptor."""
        data = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        self.put_bytes(f"blobs/sha256/{digest}", data)
        return {"mediaType": f"{OCI}.{kind}+json", "digest": f"sha256:{digest}", "size": len(data)}

    def put_layer(self, layer: Path) -> dict[str, Any]:
        """Its descriptor; the same layer twice is stored once."""
        with layer.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        if digest not in self.there:
            self.there.add(digest)
            self.tar.add(layer, f"blobs/sha256/{digest}", filter=anonymous)
        size = layer.stat().st_size
        return {"mediaType": f"{OCI}.layer.v1.tar", "digest": f"sha256:{digest}", "size": size}


def write(archive: Archive, layers: list[Path], name: str, config: dict[str, Any]) -> None:
    stored = [archive.put_layer(layer) for layer in layers]
    contents = {"type": "layers", "diff_ids": [layer["digest"] for layer in stored]}
    described = archive.put_json("config.v1", {**PLATFORM, "rootfs": contents, "config": config})
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": described,
        "layers": stored,
    }
    annotations = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    entry = {
        **archive.put_json("manifest.v1", manifest),
        "platform": PLATFORM,
        "annotations": annotations,
    }
    index = {"schemaVersion": 2, "manifests": [entry]}
    archive.put_bytes("index.json", json.dumps(index).encode())
    archive.put_bytes("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')


def main() -> None:
    options = arguments()
    config = {
        "Entrypoint": options.entrypoint,
        "Cmd": options.cmd,
        "User": options.user,
        "WorkingDir": "/",
        "Env": [PATH, *options.env],
    }
    part = options.archive.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        write(Archive(tar), options.layer, options.name, {k: v for k, v in config.items() if v})
    part.replace(options.archive)


if __name__ == "__main__":
    main()
