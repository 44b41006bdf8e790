"""`model.sig` of a directory: the OpenSSF Model Signing format (1.0), for `model_signing verify`.

A sigstore bundle with a DSSE envelope of an in-toto statement that lists every file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from waybill import digest as digests
from waybill.digest import Digest
from waybill.manifest import STATEMENT, canonical
from waybill.sign import dsse, keys
from waybill.sign.keys import Signer

NAME = "model.sig"
IGNORED = (".cache", ".git", ".gitattributes", ".github", ".gitignore", ".waybill-pull.lock", NAME)
"""What is beside the model's files, and not signed."""


def is_ignored(path: str) -> bool:
    return path.partition("/")[0] in IGNORED


def is_known(signer: Signer) -> bool:
    """Whether the format has a word for this kind of key: it knows no Ed25519."""
    return isinstance(signer.private, ec.EllipticCurvePrivateKey)


def signature(name: str, files: Mapping[str, Digest], signer: Signer) -> bytes:
    """The signature file of these files, by path; `name` is the directory's, and says nothing."""
    envelope = json.loads(dsse.sign(_statement(name, files), signer))
    signatures = [{"sig": one["sig"], "keyid": ""} for one in envelope["signatures"]]
    return canonical(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {**_material(signer), "tlogEntries": []},
            "dsseEnvelope": {**envelope, "signatures": signatures},
        }
    )


def _statement(name: str, files: Mapping[str, Digest]) -> bytes:
    resources, whole = [], hashlib.sha256()
    for path in sorted(files):
        digest = digests.hex_of(files[path])
        whole.update(bytes.fromhex(digest))
        resources.append({"name": path, "algorithm": "sha256", "digest": digest})
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": list(IGNORED),
    }
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": whole.hexdigest()}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {"serialization": serialization, "resources": resources},
        }
    )


def _material(signer: Signer) -> dict[str, Any]:
    if not signer.chain:
        # Not the key's id: this format names a key by the digest of its PEM text.
        return {"publicKey": {"hint": hashlib.sha256(keys.pem(signer.public)).hexdigest()}}
    raw = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in signer.chain]
    return {"x509CertificateChain": {"certificates": [{"rawBytes": one} for one in raw]}}
