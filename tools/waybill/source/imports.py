"""Import manifests: one model and where it comes from, in a file that can be reviewed.

    source: s3://team-models/acme/demo/
    as: acme/demo
    endpoint: https://s3.example.com

Its keys are those of `Reach` and of what `waybill pack` takes besides. None is a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from waybill import files
from waybill.errors import BadFile


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "minLength": 1, "description": description}  # type: ignore[dict-item]


_PATTERNS = {"type": "array", "items": {"type": "string", "minLength": 1}}
_HERE = "relative to this file"
PATHS = frozenset({"caBundle", "tokenFile", "clientCertificate", "clientKey"})

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Waybill import",
    "description": "A model and where it comes from: what `waybill pack --manifest` reads.",
    "type": "object",
    "additionalProperties": False,
    "required": ["source"],
    "properties": {
        "source": _text(f"Where it comes from, as on the command line; a path is {_HERE}."),
        "as": _text("The repo that it becomes, owner/name."),
        "include": {**_PATTERNS, "description": "Pack files like these alone."},
        "exclude": {**_PATTERNS, "description": "Leave out files like these."},
        "allowPickle": {"type": "boolean", "description": "Pack pickled weights."},
        "endpoint": _text("URL of the S3 server, or of the Hugging Face endpoint."),
        "profile": _text("Credentials profile in the AWS shared files."),
        "caBundle": _text(f"PEM file of the CA that signed the server's key, {_HERE}."),
        "tokenFile": _text(f"File that holds a bearer token, {_HERE}."),
        "clientCertificate": _text(f"PEM file of a client certificate, {_HERE}."),
        "clientKey": _text(f"PEM file of its key, {_HERE}."),
        "secret": _text("Secret with its credentials, for imports in a cluster alone."),
        "sha256": _text("What the file that an http(s) URL names must have, 64 hex digits."),
    },
}
"""The schema of values/import.schema.json (JSON Schema 2020-12)."""


def load(path: Path) -> Mapping[str, Any]:
    """What the file says, its paths made absolute. Raises BadFile."""
    value = files.load(path, SCHEMA)
    if value is None:
        raise BadFile(path=path, why="it is empty")
    folder = path.absolute().parent
    found = {key: str(folder / one) if key in PATHS else one for key, one in value.items()}
    if "://" not in found["source"]:
        found["source"] = str(folder / found["source"])
    return found
