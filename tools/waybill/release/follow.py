"""Follow a new revision: wait until it is served, give it traffic by steps, take it back in time.

The pins file says at every moment who should get what, so whoever stops this can go on with the
same command, and every other command sees how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from waybill.deliver import install, metrics, pins
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm
from waybill.deliver.live import Cluster, Engines
from waybill.deliver.metrics import Look, Seen
from waybill.deliver.pins import Pin, Pins
from waybill.deliver.watch import Watch
from waybill.errors import (
    ClusterUnreachable,
    NotInstalled,
    NotServed,
    PodSilent,
    RolloutFailed,
    RolloutOvertaken,
    UnknownModel,
)
from waybill.manifest import statement
from waybill.release import move, rollback, steps
from waybill.release.move import Reason
from waybill.release.steps import Steps
from waybill.sign.keys import Signer
from waybill.sign.predicates import Health
from waybill.store import evidence
from waybill.store.layout import RepoId

_EVERY = 5.0
"""Seconds between two looks."""
_UNREADY = 60.0
"""Seconds that an engine may be away, as one that is replaced is."""
_SLOT = "stable"


@dataclass(frozen=True)
class Outcome:
    """How a revision did from `since` to `until`; `why` it does badly, empty where it does well.

    `back` is the commit that has all the traffic again by that; None where none could take it.
    """

    commit: str
    back: str | None
    seen: Seen
    replicas: int
    since: datetime
    until: datetime
    why: str = ""


@dataclass(frozen=True)
class Follower:
    """One model of an environment, from the revision that was pinned when this began."""

    environment: Environment
    helm: Helm
    cluster: Cluster
    model: str
    note: Callable[[str], None]
    evaluate: Callable[[], str] = lambda: ""
    """Asks the revision before it gets any traffic; what is wrong with its answers, or nothing."""

    @cached_property
    def pin(self) -> Pin:
        """Raises UnknownModel."""
        pin = pins.load(self.environment.pins_path).models.get(self.model)
        if pin is None:
            raise UnknownModel(model=self.model, environment=self.environment.name)
        return pin

    @cached_property
    def engines(self) -> Engines:
        return Engines(self.cluster, self.helm.release, self.model, self.pin.stable)

    @cached_property
    def steps(self) -> Steps:
        return steps.of(self.environment, self.model)

    def run(self, seconds: int, timeout: int | None = None) -> Outcome:
        """All steps that are left, the last for `seconds`.

        Raises NotInstalled, RolloutFailed, NotServed, Corrupt and what reading the store does
        before any traffic has moved; RolloutOvertaken, HelmFailed, ClusterUnreachable and
        ClusterForbidden.
        """
        self._wait(timeout)
        since, first = datetime.now(UTC), self._first()
        why = self.evaluate() or self._move(seconds)
        back = self._set_back() if why else None
        seen, until = self._since(first), datetime.now(UTC)
        commit, replicas = self.pin.stable.commit, self.engines.replicas()
        return Outcome(commit, back, seen, replicas, since, until, why)

    def _move(self, seconds: int) -> str:
        """Share by share; what is wrong with it, empty where it has all the traffic in the end."""
        weight = self.pin.traffic[_SLOT].weight
        for share in self.steps.left(weight, seconds):
            if share.weight != weight:
                self._weigh(share.weight)
                weight = share.weight
            if why := self._observe(share.weight, share.seconds):
                return why
        return ""

    def _set_back(self) -> str | None:
        """All traffic to the one before, if it can answer: else this one is better than none."""
        if self.pin.previous is None or replace(self.engines, revision=self.pin.previous).lacks():
            return None
        self._weigh(0)
        return self.pin.previous.commit

    def _wait(self, timeout: int | None) -> None:
        """Until the release is ready, and serves what is pinned."""
        plan = install.plan(self.helm)
        if plan.changes:
            names = ", ".join(f"{each.kind} {each.name}" for each in plan.changes[:3])
            raise NotInstalled(
                release=self.helm.release,
                namespace=self.helm.namespace,
                count=len(plan.changes),
                names=names,
                environment=self.environment.name,
            )
        selector = f"{install.INSTANCE}={self.helm.release},{install.NO_IMPORT}"
        limit = timeout or plan.seconds
        if why := Watch(self.cluster, selector, self.note).wait(limit):
            release, namespace = self.helm.release, self.helm.namespace
            raise RolloutFailed(release=release, namespace=namespace, why=why)
        self._stored()
        self._served()

    def _stored(self) -> None:
        """What the hub gives to engines that start is what is pinned. Raises Corrupt, BlobMissing,
        RepoNotFound, RevisionNotFound."""
        store, revision = self.environment.connect(), self.pin.stable
        manifest = store.manifest(RepoId.parse(revision.repo), revision.commit)
        move.same_digest(manifest, revision, store)

    def _served(self) -> None:
        """The gateways find an engine some seconds after it is ready. Raises NotServed."""
        deadline = time.monotonic() + _UNREADY
        while found := self._objections():
            if time.monotonic() > deadline:
                where, why = self.environment.name, "; ".join(found)
                raise NotServed(model=self.model, environment=where, why=why)
            time.sleep(_EVERY)
        self.note(f"{self.model}: every engine serves {self.pin.stable.commit}")

    def _objections(self) -> list[str]:
        try:
            return list(self.engines.objections())
        except PodSilent as error:
            return [str(error)]

    def _weigh(self, weight: int) -> None:
        """In the pins file, in the release, and at once in the gateways."""
        commit = self.pin.stable.commit

        def change(held: Pins) -> Pins:
            found = held.models[self.model].stable.commit if self.model in held.models else "none"
            if found != commit:
                where = self.environment.name
                raise RolloutOvertaken(
                    model=self.model, environment=where, found=found, commit=commit
                )
            return held.weighed(self.model, weight)

        pins.update(self.environment.pins_path, change)
        install.reroute(self.helm, self.cluster, self.note)
        self.note(f"{self.model}: {commit[:8]} has {weight} % of the traffic")

    def _observe(self, weight: int, seconds: int) -> str:
        """What is wrong, as soon as it is known; empty where nothing is until the end."""
        first, begun = self._first(), time.monotonic()
        away: float | None = None
        while (passed := time.monotonic() - begun) < seconds:
            time.sleep(min(_EVERY, seconds - passed))
            with suppress(PodSilent, ClusterUnreachable):
                lacks = self.engines.lacks()
                away = (away or time.monotonic()) if lacks else None
                if away and time.monotonic() - away > _UNREADY:
                    return lacks
                if why := self._judged(first, over=False):
                    return f"with {weight} % of the traffic, {why}"
        why = self._judged(first, over=True)
        return f"with {weight} % of the traffic, {why}" if why else ""

    def _judged(self, first: Look, *, over: bool) -> str:
        return self.steps.limits.breach(self._since(first), over=over)

    def _since(self, first: Look) -> Seen:
        return metrics.between(first, self.engines.look(_SLOT, whole=False))

    def _first(self) -> Look:
        """A look that lacks no pod; one that comes or goes just now is given a minute."""
        deadline = time.monotonic() + _UNREADY
        while True:
            try:
                return self.engines.look(_SLOT, whole=True)
            except PodSilent:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_EVERY)


def put_back(follower: Follower, outcome: Outcome, by: str, hold: bool | None) -> None:
    """Record that and why the one before is the stable one again: its weight is there already.

    `hold`: keep promotions from bringing it again. Raises what a rollback does; the traffic stays
    where it is.
    """
    step = rollback.plan(follower.environment, follower.model, outcome.back)
    move.carry_out([step], reason=Reason(by, outcome.why, hold=hold))
    install.reroute(follower.helm, follower.cluster, follower.note)


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
    )
    said = statement(manifest, Health.TYPE, health.as_json())
    evidence.add_signed(store, repo, manifest, said, signer)
    return health
