"""What registries should not hold, and what is said of it."""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from waybill import digest as digests
from waybill.errors import NotAModel, SourceCorrupt, UnsafePath
from waybill.source.oci import OciSource
from waybill.source.reach import Reach
from waybill.source.registry import Registry

KIND = "application/vnd.cncf.model.weight.v1.tar"


def source(
    monkeypatch: pytest.MonkeyPatch, manifest: Mapping[str, Any], layer: bytes = b""
) -> OciSource:
    told = json.dumps(manifest).encode()
    monkeypatch.setattr(Registry, "manifest", lambda *_: (told, digests.of(told)))
    monkeypatch.setattr(Registry, "open", lambda *_: io.BytesIO(layer))
    return OciSource("oci://host/demo:v1", Reach())


def of_layer(data: bytes, size: int) -> Mapping[str, Any]:
    layer = {"mediaType": KIND, "digest": digests.of(data), "size": size}
    return {"layers": [layer], "config": layer}


def test_an_index_of_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAModel, match="it is an index that names nothing"):
        source(monkeypatch, {"manifests": []}).files()


def test_a_layer_that_has_a_file_twice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a"))
    data = packed.getvalue()
    with pytest.raises(UnsafePath, match=r"'a' in .* is refused: one layer has it twice"):
        source(monkeypatch, of_layer(data, len(data)), data).files()


def test_a_layer_of_other_bytes_is_put_down_to_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceCorrupt, match="is corrupt: expected sha256"):
        source(monkeypatch, of_layer(b"one", 3), b"two").files()
