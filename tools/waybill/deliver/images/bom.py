"""What a bundle consists of, as CycloneDX: models, images and charts, with licenses where known.

It is one of the bundle's files, so that the index, and who signs that, stand for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from waybill import digest as digests
from waybill.bundle.format import Revision
from waybill.bundle.media import Bundle
from waybill.deliver.bom import Component, chart_of, container, hashed, listing
from waybill.deliver.images.load import naming, write
from waybill.deliver.images.packages import Packages
from waybill.deliver.images.parts import small_file, stack_of
from waybill.deliver.installer.charts import Chart
from waybill.errors import BadFile, BomLeftOut
from waybill.manifest import File, canonical
from waybill.sign.keys import Signer
from waybill.sign.statements import BOM, Statement
from waybill.source.images import Image
from waybill.source.reference import Reference
from waybill.store.base import Advance, no_progress

NAME = "bom/bundle.cdx.json"
"""The file's path in a bundle."""
_UNREAD = "waybill:unread"
"""Property of an image: what of it could not be read."""
_SHAPELESS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


def bom(revisions: Iterable[Revision], images: Iterable[Image], charts: Iterable[Chart]) -> bytes:
    """The same content has the same list."""
    components = [*map(_model, revisions), *map(_image, images), *map(chart_of, charts)]
    whole = {"type": "application", "bom-ref": "bundle", "name": "waybill-bundle"}
    return listing(whole, components, digests.of(canonical(components)))


def bom_of(bundle: Bundle) -> bytes:
    """The list that came with it, checked against the index.

    Raises NoImages, BomLeftOut, PartMissing, PartTruncated, ForeignPart, Corrupt, BadFile.
    """
    for file in stack_of(bundle).files:
        if file.path == NAME:
            return _checked(bundle, small_file(bundle, file))
    raise BomLeftOut(where=", ".join(map(str, bundle.folders)))


def _checked(bundle: Bundle, data: bytes) -> bytes:
    """Raises BadFile where it is no such list, or the list of something else."""
    stack = stack_of(bundle)
    try:
        charts = [Chart.parse(small_file(bundle, each)) for each in stack.charts]
        listed = _digests(data)
        rows(data)
    except _SHAPELESS as error:
        raise BadFile(path=NAME, why="it is no list of a bundle's components") from error
    if listed != _digests(bom(bundle.index.revisions, stack.images, charts)):
        raise BadFile(path=NAME, why="it lists other things than the index of the bundle has")
    return data


def _digests(data: bytes) -> dict[str, str]:
    """Of each component, by what it is called within the list."""
    found = json.loads(data)["components"]
    return {each["bom-ref"]: each["hashes"][0]["content"] for each in found}


def with_packages(data: bytes, bundle: Bundle, advance: Advance = no_progress) -> bytes:
    """The bundle's list, and within each image what databases in its layers name.

    The bundle's signature is not of this list; whoever reads the same layers makes the same one.
    Raises PartMissing, PartTruncated, ForeignPart, Corrupt.
    """
    listed, inside = json.loads(data), Packages(bundle, advance)
    images = {f"image/{one.name}": one for one in stack_of(bundle).images}
    components = [
        _opened(one, *inside.of(images[ref])) if (ref := one["bom-ref"]) in images else one
        for one in listed["components"]
    ]
    whole = listed["metadata"]["component"]
    return listing(whole, components, digests.of(canonical(components)))


def _opened(image: Component, packages: list[Component], unread: list[str]) -> Component:
    ref = image["bom-ref"]
    told = [{"name": _UNREAD, "value": why} for why in unread]
    return {
        **image,
        "components": [{**one, "bom-ref": f"{ref}/{one['purl']}"} for one in packages],
        "properties": [*image.get("properties", ()), *told],
    }


def write_list(path: Path, data: bytes, signer: Signer | None) -> Path | None:
    """The list as a file, and beside it, with a key, its signature, whose file is returned.

    The signature is what openssl makes of the list's bytes, as that of a bundle is; certificates
    lie beside both. Raises ArchiveUnwritable.
    """
    signature = None
    if signer:
        # Before the list: one that is new is at no time beside an older signature.
        signature, chain = (path.with_name(f"{path.name}.{kind}") for kind in ("sig", "crt"))
        write(signature, [signer.sign(data)])
        with naming(chain):
            # Of an earlier run with another key.
            chain.unlink(missing_ok=True)
        if signer.chain:
            write(chain, [signer.chain_pem])
    write(path, [data])
    return signature


def unread(data: bytes) -> list[str]:
    """Of a list with packages: image, and what of it could not be read."""
    return [
        f"{one['name']}: {each['value']}"
        for one in json.loads(data)["components"]
        for each in one.get("properties", ())
        if each["name"] == _UNREAD
    ]


def rows(data: bytes) -> list[tuple[str, str, str, str]]:
    """Of a list: kind, name with version, licenses and digest of each thing."""
    found = []
    for one in json.loads(data)["components"]:
        within = one.get("components", ())
        found += [_row(one), *(_row(each) for each in within if each["type"] == "library")]
    return found


def _row(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    name = "/".join(part for part in (one.get("group"), one["name"]) if part)
    known = ", ".join(map(_license, one.get("licenses", ())))
    kind = "package" if one["type"] == "library" else one["bom-ref"].partition("/")[0]
    digest = digests.from_hex(one["hashes"][0]["content"]) if "hashes" in one else ""
    return kind, f"{name} {one['version']}", known or "not known", digest


def _license(one: Mapping[str, Any]) -> str:
    """Of the two forms that CycloneDX has, the first is an SPDX expression."""
    if "expression" in one:
        return str(one["expression"])
    return str(one["license"].get("id") or one["license"]["name"])


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
