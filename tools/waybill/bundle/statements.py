"""What is said of a revision when it is made from a source, and who signs that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from waybill import __version__
from waybill.bundle.format import Revision
from waybill.errors import BadValue
from waybill.manifest import Manifest, provenance
from waybill.sign import dsse
from waybill.sign.keys import Signer
from waybill.sign.statements import bom_statement, license_statement
from waybill.source.base import Origin
from waybill.store.layout import RepoId


def repo_of(origin: Origin, repo: RepoId | None) -> RepoId:
    """The repo that a model becomes: as people say, else as its source does. Raises BadValue."""
    if repo is None and not origin.repo:
        raise BadValue(what="--as", value="", why="the source does not say owner/name")
    return repo or RepoId.parse(str(origin.repo))


def revision_of(
    repo: RepoId,
    manifest: Manifest,
    origin: Origin,
    dropped: Mapping[str, str],
    signer: Signer | None,
) -> Revision:
    """With provenance, license and bill of materials; `dropped`: path -> why it is left out."""
    facts: dict[str, Any] = {
        "source": origin.source,
        "repo": origin.repo,
        "commit": origin.commit,
        "license": origin.license,
        "dropped": dict(dropped),
    }
    statements = (
        provenance(manifest, facts, f"waybill {__version__}"),
        license_statement(manifest, origin.license),
        bom_statement(manifest, str(repo), facts, __version__),
    )
    signatures = tuple(dsse.sign(said, signer) for said in statements) if signer else ()
    return Revision(repo, manifest, origin.commit, statements, signatures)
