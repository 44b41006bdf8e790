"""Follow a new revision: wait until it is served, give it traffic by steps, take it back in time.

The pins file says at every moment who should get what, so whoever stops this can go on with the
same command, and every other command sees how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import takewhile
from typing import TypeVar

from waybill.deliver import install, metrics, pins
from waybill.deliver.environments import Environment
from waybill.deliver.helm import Helm
from waybill.deliver.live import Cluster, Engines
from waybill.deliver.metrics import Look, Seen
from waybill.deliver.pins import Pin, Pins
from waybill.deliver.watch import Watch
from waybill.errors import (
    ClusterUnreachable,
    HelmFailed,
    NotInstalled,
    NotServed,
    PodSilent,
    RefMoved,
    ReleasePending,
    RolloutFailed,
    RolloutOvertaken,
    UnknownModel,
    WaybillError,
)
from waybill.release import move, rollback, steps
from waybill.release.move import Reason
from waybill.release.steps import Steps
from waybill.sign.predicates import moment
from waybill.store.layout import Ref, RepoId
from waybill.store.store import Store

_EVERY = 5.0
"""Seconds between two looks."""
_UNREADY = 60.0
"""Seconds that an engine may be away, as one that is replaced is, or that nobody sees it."""
_INSISTENT = 120.0
"""Seconds in which an API server restarts, or somebody else's upgrade ends."""
_SLOT = "stable"
_UNSEEN = (PodSilent, ClusterUnreachable)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Outcome:
    """How a revision did from `since` to `until`; `why` it does badly, empty where it does well.

    `back` is the commit that has all the traffic again by that; None where it kept its traffic,
    and `keeps` says why. `unrecorded` is why the store's ref does not say so, empty where it does.
    `stuck` is what kept the traffic from going back, which may have begun to.
    """

    commit: str
    back: str | None
    seen: Seen
    replicas: int
    since: datetime
    until: datetime
    why: str = ""
    keeps: str = ""
    unrecorded: str = ""
    stuck: str = ""


@dataclass(frozen=True)
class Follower:
    """One model of an environment, from the revision that was pinned when this began.

    `by` is who decides; `hold` says whether promotions may bring back a revision that did badly.
    """

    environment: Environment
    helm: Helm
    cluster: Cluster
    model: str
    note: Callable[[str], None]
    by: str = ""
    hold: bool | None = None
    evaluate: Callable[[], str] = lambda: ""
    """Asks the revision before it gets any traffic; what is wrong with its answers, or nothing."""
    said: Callable[[Outcome], None] = lambda _: None
    """Told how it did, also where its traffic could not go back: what is known of it must stay."""
    single_writer: bool = False

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

    @cached_property
    def _place(self) -> tuple[RepoId, Ref]:
        return RepoId.parse(self.pin.stable.repo), Ref.pin(self.environment.name, self.model)

    def _keeps(self, since: datetime) -> str:
        """Why it keeps its traffic whatever it does; empty where that may go to the one before.

        In the middle of its steps that one has the rest. Once it has all, it is a rollout only if
        it came after `since`: one that did well for long has its trouble from elsewhere. Beside a
        revision that somebody, or `watch`, has gone back to lies the one that was bad.
        """
        previous, stable = self.pin.previous, self.pin.stable
        if previous is None:
            return "no revision is pinned beside it"
        if self.pin.traffic[_SLOT].weight < 100:
            return ""
        records = list(self.environment.connect().history(*self._place))
        if not rollback.came_before(records, previous.commit, stable.commit):
            return f"{previous.short} beside it is no revision that it took over from"
        standing = list(takewhile(lambda record: record.commit == stable.commit, records))
        if standing and moment(standing[-1].at) < since:
            return f"it is no new one: it was pinned at {standing[-1].at}"
        return ""

    def run(self, seconds: int, timeout: int | None = None) -> Outcome:
        """All steps that are left, the last for `seconds`.

        Raises PinsDiffer, NotInstalled, RolloutFailed, NotServed, PodSilent, Corrupt before any
        traffic has moved; RolloutOvertaken, HelmFailed, ClusterUnreachable, ClusterForbidden, and
        what reading the store does.
        """
        begun = datetime.now(UTC)
        length = self._wait(timeout) + seconds + sum(each.seconds for each in self.steps.shares)
        # The store may be away once traffic has to go back.
        keeps = self._keeps(begun - timedelta(seconds=length))
        since, first = datetime.now(UTC), self._whole()
        replicas = self.engines.replicas()
        why, last = self.evaluate(), first
        if not why:
            why, last = self._move(seconds, first)
        seen, until = metrics.between(first, last), datetime.now(UTC)
        done = Outcome(self.pin.stable.commit, None, seen, replicas, since, until, why)
        try:
            done = self._set_back(done, keeps) if why else done
        except BaseException as error:
            done = replace(done, stuck=str(error) or "interrupted")
            raise
        finally:
            self.said(done)
        return done

    def _move(self, seconds: int, last: Look) -> tuple[str, Look]:
        """Share by share; what is wrong with it, empty where it has all the traffic in the end.

        And the newest look: once traffic has to go back, nothing more is asked.
        """
        weight = self.pin.traffic[_SLOT].weight
        for share in self.steps.left(weight, seconds):
            if share.weight != weight:
                self._insist(self._installed)
                self._weigh(share.weight)
                weight = share.weight
            why, last = self._observe(share.weight, share.seconds, last)
            if why:
                return f"with {share.weight} % of the traffic, {why}", last
        return "", last

    def _set_back(self, done: Outcome, keeps: str) -> Outcome:
        """All traffic to the one before, if it can answer: else this one is better than none.

        Traffic goes first, the record comes after it. The pins file has both revisions in their
        new places from the first moment on: who is cut off here leaves none that gets its traffic
        again by steps.
        """
        previous = self.pin.previous
        if previous is None or keeps:
            return replace(done, keeps=keeps)
        if lacks := self._silent(replace(self.engines, revision=previous)):
            return replace(done, keeps=lacks)
        try:
            self._stands()
        except RolloutOvertaken:
            raise
        except WaybillError as error:
            self.note(f"the traffic goes back all the same: {error}")
        try:
            self._bring(lambda held: held.with_stable(self.model, previous))
            self.note(f"{self.model}: {previous.short} has all of the traffic again")
        finally:
            unrecorded = self._record(previous.commit, done.why)
        return replace(done, back=previous.commit, unrecorded=unrecorded)

    def _silent(self, before: Engines) -> str:
        """Why none of its engines answers; one is enough, and is given a minute to come."""
        deadline = time.monotonic() + _UNREADY
        while not self._insist(before.available):
            if time.monotonic() > deadline:
                return f"no engine of {before.name} is ready"
            time.sleep(_EVERY)
        return ""

    def _record(self, commit: str, why: str) -> str:
        """That and why this is the stable one again; what kept us from it, or nothing."""
        try:
            single = self.single_writer
            step = rollback.plan(self.environment, self.model, commit, single_writer=single)
            if step.seen is None or step.seen.commit != self.pin.stable.commit:
                raise RefMoved(repo=step.repo, ref=step.ref)
            move.carry_out([step], reason=Reason(self.by, why, hold=self.hold))
        except WaybillError as error:
            self.note(f"no record says that {self.model} went back: {error}")
            return str(error)
        return ""

    def _stands(self) -> None:
        """The store's ref decides, whatever files a checkout has. Raises RolloutOvertaken."""
        if (found := self._head(self.environment.connect())) != self.pin.stable.commit:
            raise self._overtaken(found)

    def _head(self, store: Store) -> str | None:
        head = store.head(*self._place)
        return head.commit if head else None

    def _overtaken(self, found: str | None) -> RolloutOvertaken:
        return RolloutOvertaken(
            model=self.model,
            environment=self.environment.name,
            found=found or "nothing",
            commit=self.pin.stable.commit,
        )

    def _insist(self, ask: Callable[[], Answer]) -> Answer:
        """Asked again for a while, for traffic that has to move."""
        deadline = time.monotonic() + _INSISTENT
        while True:
            try:
                return ask()
            except (ClusterUnreachable, HelmFailed, NotInstalled, ReleasePending) as error:
                if time.monotonic() > deadline:
                    raise
                self.note(f"{error}; trying again")
            time.sleep(_EVERY)

    def _wait(self, timeout: int | None) -> int:
        """Until the release is ready, and serves what is pinned; how many seconds that may take."""
        limit = timeout or self._installed()
        selector = f"{install.INSTANCE}={self.helm.release},{install.LASTING}"
        if why := Watch(self.cluster, selector, self.note).wait(limit):
            release, namespace = self.helm.release, self.helm.namespace
            raise RolloutFailed(release=release, namespace=namespace, why=why)
        self._stored()
        self._served()
        return limit

    def _installed(self) -> int:
        """Seconds that its pods may take. Raises NotInstalled where a weight would bring more than
        itself."""
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
        return plan.seconds

    def _stored(self) -> None:
        """What the hub gives to engines that start is what is pinned. Raises PinsDiffer, Corrupt,
        BlobMissing, RepoNotFound, RevisionNotFound."""
        store, revision = self.environment.connect(), self.pin.stable
        if (stands := self._head(store)) != revision.commit:
            differ = (self.environment, self.model, revision.repo, revision.commit, stands)
            raise move.differ(*differ)
        move.same_digest(store.manifest(self._place[0], revision.commit), revision, store)

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
        self._stands()
        self._bring(lambda held: held.weighed(self.model, weight))
        self.note(f"{self.model}: {self.pin.stable.short} has {weight} % of the traffic")

    def _bring(self, change: Callable[[Pins], Pins]) -> None:
        """Into the pins file, into the release, and at once to the gateways."""

        def ours(held: Pins) -> Pins:
            pin = held.models.get(self.model)
            if (found := pin.stable.commit if pin else None) != self.pin.stable.commit:
                raise self._overtaken(found)
            return change(held)

        pins.update(self.environment.pins_path, ours)
        self._insist(lambda: install.reroute(self.helm, self.cluster, self.note))

    def _observe(self, weight: int, seconds: int, last: Look) -> tuple[str, Look]:
        """What is wrong, as soon as it is known, and the newest look; empty where all is well.

        That does not come while engines are away, or while nobody can tell how they do.
        """
        try:
            first = last = self._whole()
        except _UNSEEN as error:
            return _blind(error), last
        lacks, begun = "", time.monotonic()
        well = begun
        while (passed := time.monotonic() - begun) < seconds or last is first or lacks:
            time.sleep(min(_EVERY, seconds - passed) if passed < seconds else _EVERY)
            try:
                lacks = self._away()
                last = self._look(whole=False)
                if why := self.steps.limits.breach(metrics.between(first, last)):
                    return why, last
            except _UNSEEN as error:
                lacks = lacks or _blind(error)
            if not lacks:
                well = time.monotonic()
            elif time.monotonic() - well > _UNREADY:
                return lacks, last
        seen = metrics.between(first, last)
        if not seen.requests:
            self.note(f"{self.model}: nobody has asked it with {weight} % of the traffic")
        return self.steps.limits.breach(seen, over=True), last

    def _away(self) -> str:
        """Engines that are not ready, or that a gateway sends no requests."""
        if lacks := self.engines.lacks():
            return lacks
        with suppress(PodSilent):
            return next(self.engines.unheard(), "")
        return ""

    def _look(self, *, whole: bool) -> Look:
        return self.engines.look(_SLOT, whole=whole)

    def _whole(self) -> Look:
        """A look that lacks no pod, to begin with; what comes or goes just now has a minute."""
        deadline = time.monotonic() + _UNREADY
        while True:
            try:
                return self._look(whole=True)
            except _UNSEEN:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_EVERY)


def _blind(error: Exception) -> str:
    return f"nobody can tell how it does: {error}"
