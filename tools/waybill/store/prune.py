"""Pruning: what no ref needs goes, in two steps, beside writers that go on.

Kept are the last revisions behind each ref, what was written lately, all that these name, and all
records. What else there is becomes a candidate. The next prune deletes those that are candidates
still, unless a revision that stays for now names them. `waybill.store.lease` says why that is safe.

Revisions go first, then what is said of them, then blobs: whatever a crash leaves is whole.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from waybill.errors import BadFile, StoreUnreachable, WaybillError
from waybill.manifest import CONFIG_TYPE, Descriptor, canonical
from waybill.store import layout
from waybill.store.audit import DAMAGE
from waybill.store.base import Advance, Backend, Stat, no_progress
from waybill.store.layout import RepoId
from waybill.store.lease import Lease
from waybill.store.record import named
from waybill.store.store import Store
from waybill.store.work import Stoppable, parallel

DAY = 86_400.0
FORMAT = 1
_PAUSES = (0.1, 1.0, 5.0)
"""Seconds between two tries of a deletion that the store does not answer."""
_ORDER = (layout.REPOS, layout.BLOBS, layout.UPLOADS)

Place = tuple[RepoId, str]
"""A repo (in lower case) and a commit of it."""
Manifests = dict[Place, frozenset[str]]
"""The keys of a revision's manifest, config and files, which never change."""


@dataclass(frozen=True)
class Retention:
    """What stays: `keep` revisions behind each ref, and what is younger than `age` seconds."""

    keep: int = 3
    age: float = 7 * DAY


@dataclass(frozen=True)
class Candidate:
    """An object that nothing needs. `since`: when a prune noted it, None for now."""

    stat: Stat
    since: str | None

    @property
    def revision(self) -> Place | None:
        return layout.parse_revision(self.stat.key)


@dataclass(frozen=True)
class Plan:
    """What to delete now, what to note for the next time, and what is kept, with the reasons."""

    store: Store
    doomed: tuple[Candidate, ...]
    noted: tuple[Candidate, ...]
    kept: Mapping[Place, Sequence[str]]
    frees: Mapping[Place, int]
    """Bytes that go with each revision that goes; of those that several share, with the first."""
    at: str

    @property
    def bytes(self) -> int:
        return sum(one.stat.size for one in self.doomed)


def survey(store: Store, retention: Retention, known: Manifests | None = None) -> Plan:
    """Writes nothing. What is damaged and needed is raised: nobody knows what it names.

    `known` is filled with what was read, so that the next survey takes less of the writers' time.
    Raises BadFile, BlobMissing, Corrupt, RevisionNotFound, NotAStore, StoreUnreachable.
    """
    _ = store.facts
    now, since = store.backend.now(), _noted(store)
    why, records = _roots(store, retention.keep)
    said, loose = _revisions(store)
    for place, stats in said.items():
        if any(now - stat.modified < retention.age for stat in stats):
            why[place].append("young")
    read = partial(_names, store, why, said, {} if known is None else known)
    names = dict(zip(said, parallel(read, said), strict=True))
    objects = [*(stat for stats in said.values() for stat in stats), *loose, *_contents(store)]
    kept = records.union(*(names[place] for place in why if place in said))
    going = [
        Candidate(stat, since.get(stat.key))
        for stat in objects
        if stat.key not in kept and now - stat.modified >= retention.age
    ]
    stays = _stays(going, names)
    doomed = [one for one in going if one.since and one.stat.key not in stays]
    noted = [one for one in going if not one.since or one.stat.key in stays]
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    there = {place: tuple(told) for place, told in why.items() if place in said}
    return Plan(store, tuple(doomed), tuple(noted), there, _frees(doomed + noted, names), at)


def carry_out(plan: Plan, lease: Lease, advance: Advance = no_progress) -> None:
    """Delete what a plan made under this lease dooms, then note the others.

    `advance` is told bytes. Raises PruneHeldUp; the next run goes on.
    """
    stoppable, unanswered = Stoppable(advance), list[str]()

    def delete(one: Candidate) -> None:
        _delete(plan.store.backend, one.stat.key, lease, unanswered)
        stoppable(one.stat.size)

    lease.answered = False
    try:
        for turn in sorted({_turn(one) for one in plan.doomed}):
            doomed = [one for one in plan.doomed if _turn(one) == turn]
            parallel(delete, doomed, stop=stoppable.stop)
    except WaybillError:
        # What was begun has ended, other than at Ctrl-C.
        lease.answered = not unanswered
        raise
    lease.answered = not unanswered
    _note(plan, lease)


def _delete(backend: Backend, key: str, lease: Lease, unanswered: list[str]) -> None:
    for pause in _PAUSES:
        try:
            backend.delete(key, lease.until)
        except StoreUnreachable:
            unanswered.append(key)
            time.sleep(pause)
        else:
            return
    backend.delete(key, lease.until)


def _note(plan: Plan, lease: Lease) -> None:
    backend = plan.store.backend
    keys = {one.stat.key: one.since or plan.at for one in plan.noted}
    data = canonical({"format": FORMAT, "keys": keys})
    _ = lease.until
    backend.replace(layout.CANDIDATES, data, backend.read(layout.CANDIDATES))


def _noted(store: Store) -> dict[str, str]:
    """What the last prune noted, and when. Raises BadFile."""
    data = store.backend.read(layout.CANDIDATES)
    if data is None:
        return {}
    try:
        found = json.loads(data)
        if found["format"] != FORMAT:
            raise ValueError(found["format"])
        return {str(key): str(since) for key, since in found["keys"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        path = f"{store.url}/{layout.CANDIDATES}"
        why = f"it is damaged ({error!r}): delete it, and the next prune notes everything anew"
        raise BadFile(path=path, why=why) from error


def _turn(one: Candidate) -> int:
    """Of which round of deletions it is."""
    if one.revision:
        return 0
    return next(at for at, prefix in enumerate(_ORDER, 1) if one.stat.key.startswith(prefix))


def _stays(going: Sequence[Candidate], names: Mapping[Place, set[str]]) -> set[str]:
    """All that revisions name that are there after this run."""
    gone = {one.revision for one in going if one.since and one.revision}
    return set[str]().union(*(keys for place, keys in names.items() if place not in gone))


def _frees(going: Sequence[Candidate], names: Mapping[Place, set[str]]) -> dict[Place, int]:
    sizes = {one.stat.key: one.stat.size for one in going}
    return {
        place: sum(sizes.pop(key, 0) for key in names[place])
        for one in going
        if (place := one.revision)
    }


def _roots(store: Store, keep: int) -> tuple[defaultdict[Place, list[str]], set[str]]:
    """The revisions that refs keep, and why; the keys of all records."""
    why, records = defaultdict[Place, list[str]](list), set[str]()
    for _, (repo, ref) in store.ref_keys():
        head = store.head(repo, ref)
        if head and store.revision(repo, head.commit) is None:
            raise store.not_found(repo, head.commit)
        commits: dict[str, None] = {}
        for each in store.chain(head):
            records.update(map(layout.blob, named(each)))
            if len(commits) < keep:
                commits.setdefault(each.commit)
        for back, commit in enumerate(commits):
            why[repo, commit].append(f"{ref}~{back}" if back else str(ref))
    return why, records


def _revisions(store: Store) -> tuple[dict[Place, list[Stat]], list[Stat]]:
    """Each revision's key with those of its aliases and statements; those of no revision."""
    said: dict[Place, list[Stat]] = {}
    others: list[Stat] = []
    for stat in store.backend.list(layout.REPOS):
        if place := layout.parse_revision(stat.key):
            said[place] = [stat]
        elif layout.parse_said(stat.key):
            others.append(stat)
    loose: list[Stat] = []
    for stat, place in zip(others, parallel(partial(_about, store), others), strict=True):
        (said.get(place, loose) if place else loose).append(stat)
    return said, loose


def _about(store: Store, stat: Stat) -> Place | None:
    """Of which revision an alias or a statement is; of none where an alias cannot be read."""
    match layout.parse_said(stat.key):
        case repo, upstream, "":
            with suppress(BadFile):
                return repo, store.alias(repo, upstream) or ""
        case repo, commit, _:
            return repo, commit
    return None


def _names(
    store: Store,
    why: Mapping[Place, object],
    said: Mapping[Place, Sequence[Stat]],
    known: Manifests,
    place: Place,
) -> set[str]:
    """The keys that a revision needs. Raises what is wrong with one that is kept."""
    keys = {stat.key for stat in said[place]}
    told = filter(None, (layout.parse_said(stat.key) for stat in said[place][1:]))
    keys |= {layout.BLOBS + statement for _, _, statement in told if statement}
    try:
        if place not in known:
            known[place] = _files(store, place)
    except DAMAGE:
        if place in why:
            raise
    return keys | known.get(place, frozenset())


def _files(store: Store, place: Place) -> frozenset[str]:
    manifest = store.manifest(*place)
    config = Descriptor.of(manifest.config, CONFIG_TYPE).digest
    return frozenset(map(layout.blob, (manifest.descriptor.digest, config, *manifest.blobs)))


def _contents(store: Store) -> Iterator[Stat]:
    yield from (stat for stat in store.backend.list(layout.BLOBS) if layout.is_blob(stat.key))
    yield from store.backend.list(layout.UPLOADS)
