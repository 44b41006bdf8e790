"""Small images as OCI archives, as programs that build images write them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.pages import REPO

OCI = "application/vnd.oci.image"
AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}
NAME = "io.containerd.image.name"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": f"{OCI}.{kind}", "digest": digest_of(data), "size": len(data)}


def layer(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@dataclass(frozen=True)
class Built:
    """An image: its blobs by digest, and its manifest."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def build(layers: Sequence[bytes], platform: Mapping[str, str] = AMD64) -> Built:
    config = {**platform, "rootfs": {"type": "layers", "diff_ids": [*map(digest_of, layers)]}}
    text = json.dumps({**config, "config": {"Entrypoint": ["/bin/true"]}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": descriptor(text, "config.v1+json"),
        "layers": [descriptor(one, "layer.v1.tar") for one in layers],
    }
    data = json.dumps(manifest, indent=2).encode()
    return Built(data, {digest_of(one): one for one in (data, text, *layers)})


def index_of(images: Sequence[tuple[Built, Mapping[str, str]]]) -> bytes:
    manifests = [
        {**descriptor(one.manifest, "manifest.v1+json"), "platform": platform}
        for one, platform in images
    ]
    return json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()


def chart_names() -> list[str]:
    """Of all images that the chart may run."""
    listed = yaml.safe_load((REPO / "charts/waybill/images.yaml").read_text())
    return [one["name"] for one in listed]


def of_the_chart() -> dict[str, Built]:
    """All that the chart may run, by name: small, with a layer that they share."""
    base = layer({"bin/sh": b"the same"})
    return {name: build([base, layer({"n": name.encode()})]) for name in chart_names()}


def archive(
    path: Path, images: Mapping[str, Built], indexes: Mapping[str, tuple[bytes, list[Built]]] = {}
) -> Path:
    """By names; `indexes` are of several platforms."""
    blobs = {key: data for one in images.values() for key, data in one.blobs.items()}
    heads = {name: one.manifest for name, one in images.items()}
    for name, (data, built) in indexes.items():
        heads[name] = data
        blobs |= {digest_of(data): data}
        blobs |= {key: value for one in built for key, value in one.blobs.items()}
    manifests = [
        {**descriptor(data, "manifest.v1+json"), "annotations": {NAME: name}}
        for name, data in heads.items()
    ]
    files = {f"blobs/sha256/{key.removeprefix('sha256:')}": data for key, data in blobs.items()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    path.write_bytes(layer(files))
    return path
