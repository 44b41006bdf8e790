"""A release's folder as its rules read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from waybill.deliver.installer.charts import Chart, unpacked
from waybill.errors import BadFile
from waybill.files import NOT_YAML

_OPTION = re.compile(r'ConfigOption(?:Equals|NotEquals|Data|Filename|Name)?\s+["`]([^"`]+)["`]')
_ARCHIVE = (".tgz", ".tar.gz")


@dataclass(frozen=True)
class Document:
    """One of the documents in a file; `value` is any YAML, and all the rest is read with care."""

    file: str
    value: Any

    def text(self, key: str) -> str:
        found = self.value.get(key) if isinstance(self.value, Mapping) else None
        return found if isinstance(found, str) else ""

    @property
    def kind(self) -> str:
        return self.text("kind")

    @property
    def api(self) -> str:
        return self.text("apiVersion")

    @property
    def name(self) -> str:
        metadata = self.value.get("metadata") if isinstance(self.value, Mapping) else None
        return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""

    @property
    def spec(self) -> Mapping[str, Any]:
        found = self.value.get("spec") if isinstance(self.value, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def part(self, key: str) -> Mapping[str, Any]:
        """Of the spec."""
        found = self.spec.get(key)
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class Folder:
    """`files` by name, as bytes."""

    files: Mapping[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Folder:
        """Raises BadFile."""
        try:
            files = {
                each.name: each.read_bytes() for each in sorted(path.iterdir()) if each.is_file()
            }
        except OSError as error:
            raise BadFile(path=error.filename or path, why=error.strerror or str(error)) from error
        if not files:
            raise BadFile(path=path, why="there is no file in it")
        return cls(files)

    @cached_property
    def texts(self) -> dict[str, str]:
        """The YAML files."""
        yamls = {
            name: data for name, data in self.files.items() if name.endswith((".yaml", ".yml"))
        }
        return {name: data.decode(errors="replace") for name, data in yamls.items()}

    @cached_property
    def documents(self) -> list[Document]:
        """Of each file up to its first mistake."""
        return [each for name, text in self.texts.items() for each in _documents(name, text)]

    @cached_property
    def charts(self) -> dict[str, Chart]:
        """The archives of charts by file; what is none is left to the rule that misses it."""
        found = {}
        for name, data in self.files.items():
            if name.endswith(_ARCHIVE):
                with suppress(ValueError):
                    found[name] = Chart.parse(data)
        return found

    @cached_property
    def items(self) -> list[tuple[str, dict[str, Any]]]:
        """File and item of each option on the config screen; a choice counts as one, too.

        Whatever its name is, it is a text here.
        """
        return [
            (each.file, {**item, "name": str(item.get("name", ""))})
            for each in self.of("Config", "kots.io/v1beta1")
            for group in maps(each.spec.get("groups"))
            for item in _nested(group)
        ]

    @cached_property
    def is_charts_only(self) -> bool:
        """Whether it is for an installer without KOTS, as its cluster's version says."""
        versions = [str(each.spec.get("version", "")) for each in self.clusters]
        return any(re.match(r"v?([3-9]|\d\d+)\.", version) for version in versions)

    @property
    def clusters(self) -> list[Document]:
        return self.of("Config", "embeddedcluster.replicated.com/v1beta1")

    def of(self, kind: str, *apis: str) -> list[Document]:
        return [each for each in self.documents if each.kind == kind and each.api in apis]

    @property
    def helm_charts(self) -> list[Document]:
        return self.of("HelmChart", "kots.io/v1beta1", "kots.io/v1beta2")

    def content(self, archive: str) -> dict[str, bytes]:
        return unpacked(self.files[archive])


def _documents(name: str, text: str) -> Iterator[Document]:
    try:
        for value in yaml.safe_load_all(text):
            if value is not None:
                yield Document(name, value)
    except NOT_YAML:
        return


def _nested(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in maps(group.get("items")):
        yield item
        yield from _nested(item)


def maps(value: Any) -> list[dict[str, Any]]:
    """The maps in what should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def options_in(value: Any) -> set[str]:
    """The options that a value's texts name."""
    return {name for _, text in strings(value) for name in _OPTION.findall(text)}


def strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Path and text of each string in a value."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from strings(each, (*path, str(key)))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from strings(each, (*path, str(number)))
