"""Pin a model of an environment to an exact revision that its store holds and its hub gives."""

from __future__ import annotations

from waybill import digest as digests
from waybill.deliver.environments import Environment
from waybill.errors import NotACommit
from waybill.manifest import Manifest
from waybill.release import move
from waybill.release.move import Move
from waybill.store import evidence
from waybill.store.layout import RepoId
from waybill.store.publish import complete
from waybill.store.store import Store


def plan(
    environment: Environment,
    model: str,
    repo: RepoId,
    revision: str,
    *,
    single_writer: bool = False,
) -> Move:
    """Raises BadValue, NotACommit, RepoNotFound, RevisionNotFound, BlobMissing, OtherRepo; Unsigned
    and UntrustedSignature by the environment's trust policy.

    `revision` is a commit, ours or an upstream one that the store knows; both never change.
    """
    move.check_model(model)
    store = environment.connect(single_writer=single_writer)
    manifest = complete(store, repo, _commit(store, repo, revision))
    require_served(environment, store, repo, manifest)
    return move.decide(environment, store, model, move.describe(store, repo, manifest))


def require_served(
    environment: Environment, store: Store, repo: RepoId, manifest: Manifest
) -> None:
    """Ask what the hub will, so that no engine is sent for what it refuses.

    Raises Unsigned, UntrustedSignature.
    """
    digest, commit = manifest.descriptor.digest, manifest.commit
    evidence.require_trust(environment.policy(), store, repo, digest, commit, at=None)


def _commit(store: Store, repo: RepoId, revision: str) -> str:
    if digests.is_commit(revision):
        return store.resolve(repo, revision)
    short = [commit for commit in store.revisions(repo) if commit.startswith(revision.lower())]
    found = short[0] if len(short) == 1 else store.resolve(repo, revision)
    raise NotACommit(revision=revision, commit=found)
