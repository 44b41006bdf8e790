"""What a bundle consists of, as CycloneDX: models, images and charts, with licenses where known.

It is one of the bundle's files, so that the index, and who signs that, stand for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from waybill import digest as digests
from waybill.bundle.format import Revision
from waybill.bundle.media import Bundle
from waybill.deliver.bom import Component, chart_of, container, hashed, listing
from waybill.deliver.images.parts import small_file, stack_of
from waybill.deliver.installer.charts import Chart
from waybill.errors import BomLeftOut
from waybill.manifest import File, canonical
from waybill.sign.statements import BOM, Statement
from waybill.source.images import Image
from waybill.source.reference import Reference

NAME = "bom/bundle.cdx.json"
"""The file's path in a bundle."""


def bom(revisions: Iterable[Revision], images: Iterable[Image], charts: Iterable[Chart]) -> bytes:
    """The same content has the same list."""
    components = [*map(_model, revisions), *map(_image, images), *map(chart_of, charts)]
    whole = {"type": "application", "bom-ref": "bundle", "name": "waybill-bundle"}
    return listing(whole, components, digests.of(canonical(components)))


def bom_of(bundle: Bundle) -> tuple[File, bytes]:
    """The list that came with it, checked against the index.

    Raises NoImages, BomLeftOut, PartMissing, PartTruncated, ForeignPart, Corrupt, BadFile.
    """
    for file in stack_of(bundle).files:
        if file.path == NAME:
            return file, small_file(bundle, file)
    raise BomLeftOut(where=", ".join(map(str, bundle.folders)))


def rows(data: bytes) -> list[tuple[str, str, str, str]]:
    """Of a list: kind, name with version, licenses and digest of each thing."""
    return list(map(_row, json.loads(data)["components"]))


def _row(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    name = "/".join(part for part in (one.get("group"), one["name"]) if part)
    licenses = (each["license"] for each in one.get("licenses", ()))
    known = ", ".join(each.get("id") or each["name"] for each in licenses)
    kind, _, _ = one["bom-ref"].partition("/")
    digest = digests.from_hex(one["hashes"][0]["content"])
    return kind, f"{name} {one['version']}", known or "not known", digest


def _model(revision: Revision) -> Component:
    """As its own bill of materials has it, and its files within."""
    where = f"model/{revision.repo}@{revision.manifest.commit}"
    owner, _, name = str(revision.repo).partition("/")
    return {
        "type": "machine-learning-model",
        "group": owner,
        "name": name,
        "version": revision.manifest.commit,
        **_said(revision),
        "bom-ref": where,
        "hashes": hashed(revision.manifest.descriptor.digest),
        "components": [_file(where, file) for file in revision.manifest.files],
    }


def _said(revision: Revision) -> dict[str, Any]:
    for data in revision.statements:
        statement = Statement.parse(data, str(revision.repo))
        if statement.predicate_type == BOM:
            match statement.predicate:
                case {"metadata": {"component": dict() as found}}:
                    return found
    return {}


def _file(where: str, file: File) -> Component:
    ref = f"{where}/{file.path}"
    return {"type": "file", "bom-ref": ref, "name": file.path, "hashes": hashed(file.digest)}


def _image(image: Image) -> Component:
    whole = asdict(Reference.parse(image.name))
    return container(image.name, whole, image.descriptor.digest, image.size)
