"""What is said about a revision: statements that are read, and those that packing makes itself.

Packing makes three: provenance (`waybill.manifest.provenance`), the license, and a bill of
materials (CycloneDX 1.6, an ML-BOM). They name no time, so the same packing says the same.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from waybill import digest as digests
from waybill.digest import Digest
from waybill.errors import BadFile
from waybill.manifest import STATEMENT, File, Manifest, from_json, statement

LICENSE = "https://waybill.dev/license/v1"
BOM = "https://cyclonedx.org/bom"

_HEAD = {"_type", "predicateType", "subject", "digest", "sha256"}
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_LICENSE_FILES = re.compile(
    r"(^|/)(LICENSE|LICENCE|NOTICE|COPYING|USE_POLICY)[^/]*$", re.IGNORECASE
)
SPDX = {
    name.lower(): name
    for name in (
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0", "ISC", "Unlicense"),
        *("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-2.0"),
        *("CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0"),
        *("AFL-3.0", "Artistic-2.0", "BSL-1.0", "ECL-2.0", "EUPL-1.1", "EUPL-1.2", "OSL-3.0"),
        *("AGPL-3.0-or-later", "PostgreSQL", "WTFPL", "Zlib"),
    )
}
"""Hugging Face's names of licenses, where SPDX knows the same name in its own spelling."""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, BOM)


@dataclass(frozen=True)
class Statement:
    """What an in-toto statement says, and of which content (SHA-256)."""

    predicate_type: str
    subjects: frozenset[Digest]
    predicate: Any

    @classmethod
    def parse(cls, data: bytes, where: str) -> Statement:
        """Raises BadFile for what is no in-toto statement."""
        return cls._parse(data, where)

    @classmethod
    def head(cls, data: bytes, where: str) -> Statement:
        """The same without the predicate, which may be large. Raises as `parse` does."""
        return cls._parse(data, where, only=_HEAD)

    @classmethod
    def _parse(cls, data: bytes, where: str, only: Container[str] | None = None) -> Statement:
        try:
            value = from_json(data, only)
            if value["_type"] != STATEMENT:
                raise ValueError(f"its type is {value['_type']}")
            subjects = [digests.from_hex(one["digest"]["sha256"]) for one in value["subject"]]
            kind = str(value["predicateType"])
        except _MALFORMED as error:
            raise BadFile(path=where, why=f"it is no in-toto statement ({error!r})") from error
        return cls(kind, frozenset(subjects), value.get("predicate"))


def license_statement(manifest: Manifest, license_id: str | None) -> bytes:
    """The license that the model card names, and the texts that came with the files."""
    texts = {file.path: file.digest for file in manifest.files if _LICENSE_FILES.search(file.path)}
    spdx = SPDX.get((license_id or "").lower())
    return statement(manifest, LICENSE, {"license": license_id, "spdx": spdx, "texts": texts})


def bom_statement(manifest: Manifest, repo: str, facts: Mapping[str, Any], version: str) -> bytes:
    """The bill of materials; `facts` are those of the provenance, `version` is Waybill's."""
    serial = uuid.uuid5(_NAMESPACE, f"{repo}@{manifest.descriptor.digest}")
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "waybill", "version": version}]
            },
            "component": _model(manifest, repo, facts),
        },
        "components": map(_file, manifest.files),
    }
    return statement(manifest, BOM, bom)


def _model(manifest: Manifest, repo: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    owner, _, name = repo.partition("/")
    upstream, _, _ = str(facts.get("repo") or "").rpartition("/")
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": manifest.descriptor.digest,
        "group": owner,
        "name": name,
        "version": manifest.commit,
    }
    if upstream:
        found["supplier"] = {"name": upstream}
    if license_id := facts.get("license"):
        spdx = SPDX.get(str(license_id).lower())
        found["licenses"] = [{"license": {"id": spdx} if spdx else {"name": license_id}}]
    if "://" in (source := str(facts.get("source") or "")):
        commit = facts.get("commit")
        more = {"comment": f"commit {commit}"} if commit else {}
        found["externalReferences"] = [{"type": "distribution", "url": source, **more}]
    return found


def _file(file: File) -> dict[str, Any]:
    digest = digests.hex_of(file.digest)
    return {
        "type": "file",
        "bom-ref": file.path,
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
