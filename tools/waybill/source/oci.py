"""In an OCI registry: CNCF ModelPack, KitOps ModelKit, what oras pushes, and our data images.

A layer is a file as it is, named by an annotation, or a tar archive of several. The tag is
resolved to a digest once; then only what that names is read.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadValue, NotAModel, UnsafePath
from waybill.manifest import DATA_LAYER, FILEPATH, MAX_FILES, safe_path
from waybill.source.base import Origin, SourceFile
from waybill.source.card import license_of
from waybill.source.layers import Forward, Window, members
from waybill.source.reach import Reach
from waybill.source.reference import Place
from waybill.source.registry import Registry, manifest_value
from waybill.source.streams import patiently, resumed

_REFERENCE = re.compile(
    r"(?P<host>[a-z0-9.-]+(?::\d{1,5})?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_MODELS = ("application/vnd.cncf.model.", "application/vnd.cnai.model.")
_KIT = "application/vnd.kitops.modelkit."
_FILEPATHS = (FILEPATH, "org.cnai.model.filepath")
_TITLE, _UNPACK = "org.opencontainers.image.title", "io.deis.oras.content.unpack"
_FOLDER = "application/vnd.oci.image.layer.v1.tar+gzip"
_ARCHIVES = {".tar": False, ".tar+gzip": True}
"""End of a media type -> whether it is compressed."""
_CONFIG_SIZE = 4 << 20


@dataclass(frozen=True)
class _Layer:
    media_type: str
    digest: Digest
    size: int
    notes: Mapping[str, str]

    @property
    def _is_archive(self) -> bool:
        if self.media_type.startswith((*_MODELS, _KIT)):
            return self.media_type.endswith((".tar", "+gzip", "+zstd"))
        if DATA_LAYER in self.notes:
            return True
        if _UNPACK in self.notes:
            return self.notes[_UNPACK] == "true"
        # Some clients of oras say of folders nothing but this, and of files it is seldom true.
        title = self.notes.get(_TITLE, "")
        return self.media_type == _FOLDER and not title.endswith((".gz", ".tgz"))

    @property
    def path(self) -> str | None:
        """Of a layer that is one file as it is; None of an archive, or where nobody knows."""
        named = (self.notes[key] for key in (*_FILEPATHS, _TITLE) if key in self.notes)
        return None if self._is_archive else next(named, None)

    @property
    def compressed(self) -> bool | None:
        """Of an archive; None of what is none that we can read."""
        ends = (packed for end, packed in _ARCHIVES.items() if self.media_type.endswith(end))
        known = self.media_type.startswith((*_MODELS, _KIT)) or {_TITLE, DATA_LAYER} & {*self.notes}
        return next(ends, None) if self._is_archive and known else None

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> _Layer:
        notes = {str(key): str(note) for key, note in (value.get("annotations") or {}).items()}
        digest, size = digests.parse(value["digest"]), int(value["size"])
        if size < 0:
            raise ValueError
        return cls(str(value["mediaType"]), digest, size, notes)


@dataclass(frozen=True)
class _Place:
    """Where a file's bytes are: `at` that byte of a layer, once it is unpacked."""

    file: SourceFile
    layer: _Layer
    at: int
    compressed: bool


class OciSource:
    """`oci://registry/repository:tag` or `…@sha256:…`; plain http for loopback and `oci+http`."""

    local = False

    def __init__(self, url: str, reach: Reach) -> None:
        scheme, _, rest = url.partition("://")
        found = _REFERENCE.fullmatch(rest)
        if not found or not (found["tag"] or found["digest"]):
            why = "it must be oci://registry/repository:tag, or end in @sha256:…"
            raise BadValue(what="source", value=re.sub("//.*@(?!sha256)", "//…@", url), why=why)
        base = Place(found["host"], plain=scheme == "oci+http").base
        self._name = f"{scheme}://{found['host']}/{found['repository']}"
        self._asked = found["digest"] or found["tag"]
        self._url = url
        self._registry = Registry(self, base, found["repository"], reach)
        self._forward: tuple[Digest, Forward] | None = None
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return self._url

    @cached_property
    def origin(self) -> Origin:
        _, digest = self._manifest
        return Origin(source=f"{self._name}@{digest}", license=license_of(self))

    @cached_property
    def _manifest(self) -> tuple[Mapping[str, Any], Digest]:
        """Of one artifact: an index that names one alone leads to it."""
        value, digest = self._read(self._asked)
        if "manifests" not in value:
            return value, digest
        if not value["manifests"]:
            raise NotAModel(source=self, why="it is an index that names nothing")
        try:
            (only,) = value["manifests"]
            return self._read(digests.parse(only["digest"]))
        except (ValueError, KeyError, TypeError, BadValue) as error:
            why = "it is an index of several manifests; name one of them by its digest"
            raise NotAModel(source=self, why=why) from error

    def _read(self, reference: str) -> tuple[Mapping[str, Any], Digest]:
        data, digest = patiently(lambda: self._registry.manifest(reference))
        try:
            return manifest_value(data), digest
        except ValueError as error:
            raise NotAModel(source=self, why=str(error)) from error

    def files(self) -> Sequence[SourceFile]:
        return [place.file for place in self._places.values()]

    @cached_property
    def _places(self) -> Mapping[str, _Place]:
        """By path, sorted. Raises NotAModel, UnsafePath, Corrupt."""
        found: dict[str, _Place] = {}
        for number, layer in enumerate(self._layers()):
            for place in self._files_in(layer, number):
                first = found.setdefault(place.file.path, place)
                if first is not place:
                    several = first.layer is not layer
                    why = "several layers have it" if several else "one layer has it twice"
                    raise UnsafePath(path=place.file.path, where=self._url, why=why)
        return dict(sorted(found.items()))

    def _layers(self) -> Sequence[_Layer]:
        value, _ = self._manifest
        try:
            layers = [_Layer.parse(one) for one in value["layers"]]
            config = _Layer.parse(value["config"])
        except (KeyError, ValueError, TypeError, AttributeError, BadValue) as error:
            raise NotAModel(source=self, why="its manifest names no layers") from error
        if not 0 < len(layers) <= MAX_FILES:
            raise NotAModel(source=self, why=f"it has {len(layers)} layers")
        if config.media_type.startswith(_KIT):
            self._require_own_model(config, layers)
        return layers

    def _require_own_model(self, config: _Layer, layers: Sequence[_Layer]) -> None:
        """A ModelKit may be a few files around the model of another one."""
        if any(layer.media_type.startswith(f"{_KIT}model.") for layer in layers):
            return
        with self._open_layer(config) as stream:
            data = stream.read(_CONFIG_SIZE)
        try:
            named = (json.loads(data).get("model") or {}).get("path")
        except (ValueError, AttributeError, RecursionError) as error:
            raise NotAModel(source=self, why="its Kitfile is not readable") from error
        if named:
            why = f"its model is in another ModelKit, {named}; pack that"
            raise NotAModel(source=self, why=why)

    def _files_in(self, layer: _Layer, number: int) -> Iterator[_Place]:
        where = self._name_of(layer)
        if layer.path is not None:
            path = safe_path(layer.path.removeprefix("./"), where)
            file = SourceFile(path, layer.size, layer.digest, layer.digest)
            yield _Place(file, layer, 0, False)
            return
        if (compressed := layer.compressed) is None:
            why = f"it has a layer of the type {layer.media_type}, whose files cannot be told"
            raise NotAModel(source=self, why=why)
        with self._open_layer(layer) as stream:
            for one in members(stream, layer.digest, layer.size, compressed, where):
                turn = (number, one.at) if compressed else None
                file = SourceFile(one.path, one.size, one.digest, one.digest, turn=turn)
                yield _Place(file, layer, one.at, compressed)

    def _name_of(self, layer: _Layer) -> str:
        return f"the layer {layer.digest} of {self._url}"

    def _open_layer(self, layer: _Layer, offset: int = 0) -> IO[bytes]:
        def open_at(at: int) -> IO[bytes]:
            return self._registry.open(layer.digest, at, layer.size)

        return resumed(open_at, offset, layer.size, self)

    def open(self, file: SourceFile, offset: int = 0) -> IO[bytes]:
        place = self._places[file.path]
        if place.compressed:
            layer = self._unpacking(place.layer)
            return Window(layer, place.at + offset, file.size - offset)  # type: ignore[return-value]

        def open_at(at: int) -> IO[bytes]:
            return self._registry.open(place.layer.digest, place.at + at, place.layer.size)

        return resumed(open_at, offset, file.size, self)

    def _unpacking(self, layer: _Layer) -> Forward:
        """One at a time: the next file is nearly always in the same one."""
        with self._lock:
            if self._forward is None or self._forward[0] != layer.digest:
                if self._forward:
                    self._forward[1].close()
                opened = Forward(lambda: self._open_layer(layer), self._name_of(layer))
                self._forward = layer.digest, opened
            return self._forward[1]

    def is_unchanged(self, file: SourceFile) -> bool:  # noqa: ARG002
        """What a digest names does not change."""
        return True

    def holds(self, path: Path) -> bool:  # noqa: ARG002
        return False
