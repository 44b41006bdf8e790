"""What is said of a revision when it is made from a source, and who signs that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from waybill import __version__
from waybill.bundle.format import Revision
from waybill.errors import BadFile, BadValue
from waybill.manifest import PROVENANCE, Manifest, provenance
from waybill.sign import dsse
from waybill.sign.dsse import Envelope
from waybill.sign.keys import Signer
from waybill.sign.statements import BOM, LICENSE, Statement, bom_statement, license_statement
from waybill.source.base import Origin
from waybill.store.layout import RepoId

_OF_PACKING = {PROVENANCE, LICENSE, BOM}
"""What a promotion or a test says of it comes with their own commands, or from its source."""


def repo_of(origin: Origin, repo: RepoId | None) -> RepoId:
    """The repo that a model becomes: as people say, else as its source does. Raises BadValue.

    Whom it has to be signed by goes by its name, so no source gives it another one by itself.
    """
    if repo is None and not origin.repo:
        raise BadValue(what="--as", value="", why="the source does not say owner/name")
    if repo is None and origin.asked:
        why = f"{origin.source} answers to {origin.asked} as {origin.repo}: say which it is to be"
        raise BadValue(what="--as", value="", why=why)
    return repo or RepoId.parse(str(origin.repo))


def revision_of(
    repo: RepoId,
    manifest: Manifest,
    origin: Origin,
    dropped: Mapping[str, str],
    signer: Signer | None,
    earlier: Iterable[bytes] = (),
) -> Revision:
    """With provenance, license and bill of materials, and the signatures that its source has.

    `dropped`: path -> why it is left out. `earlier`: envelopes of packings before this one, of
    which those about the same manifest are kept: who signs takes away nobody's signature.
    """
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
    own = [dsse.sign(said, signer) for said in statements] if signer else []
    theirs = (data for _, data in _about(manifest, origin.signed))
    kept = (data for kind, data in _about(manifest, earlier) if kind in _OF_PACKING)
    signatures = tuple(dict.fromkeys([*own, *theirs, *kept]))
    return Revision(repo, manifest, origin.commit, statements, signatures)


def _about(manifest: Manifest, signed: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Of these envelopes those about this manifest, with what they say: of a choice of a source's
    files, nothing."""
    for data in signed:
        with suppress(BadFile, UnicodeDecodeError):
            data.decode()
            said = Statement.head(Envelope.parse(data, "a signature").payload, "a signature")
            if said.subjects == {manifest.descriptor.digest}:
                yield said.predicate_type, data
