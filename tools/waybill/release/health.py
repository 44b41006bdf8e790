"""How a revision did while it was followed, as a signed statement beside it."""

from __future__ import annotations

from waybill.manifest import statement
from waybill.release import move
from waybill.release.follow import Follower, Outcome
from waybill.sign.keys import Signer
from waybill.sign.predicates import Health
from waybill.store import evidence
from waybill.store.layout import RepoId


def attest(follower: Follower, outcome: Outcome, signer: Signer) -> Health:
    """Keep how it did as a signed statement with the revision, good or bad.

    Raises what reading and writing the store does.
    """
    environment, revision = follower.environment, follower.pin.revisions[outcome.commit]
    store, repo = environment.connect(), RepoId.parse(revision.repo)
    manifest = store.manifest(repo, outcome.commit)
    move.same_digest(manifest, revision, store)
    health = Health(
        environment=environment.name,
        model=follower.model,
        commit=outcome.commit,
        since=outcome.since,
        until=outcome.until,
        requests=outcome.seen.requests,
        errors=outcome.seen.errors,
        ttft_seconds=outcome.seen.ttft,
        replicas=outcome.replicas,
        why=outcome.why,
    )
    said = statement(manifest, Health.TYPE, health.as_json())
    evidence.add_signed(store, repo, manifest, said, signer)
    return health
