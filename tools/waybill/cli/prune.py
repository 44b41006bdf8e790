"""`waybill prune`: delete what no ref needs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from waybill.cli.arguments import Commands, add_store, open_store, whoami
from waybill.cli.output import Console, Report, counted, human
from waybill.store import lease, prune
from waybill.store.prune import DAY, Candidate, Place, Plan, Retention

_AGE = re.compile(r"(\d{1,5})([hd])")
_UNITS = {"h": 3600.0, "d": DAY}


def register(commands: Commands) -> None:
    parser = commands.add_parser("prune", help="delete what no ref of a store needs any more")
    add_store(parser, "store", "the store to prune", writes=True)
    parser.add_argument(
        "--keep",
        type=_revisions,
        default=Retention.keep,
        metavar="N",
        help="revisions to keep of each ref, that it stands at included (default: 3)",
    )
    parser.add_argument(
        "--older-than",
        type=_age,
        default=Retention.age,
        metavar="AGE",
        help="keep what was written later, as 36h or 30d (default: 7d)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and write nothing (default)"
    )
    how.add_argument(
        "--delete",
        action="store_true",
        help="delete what an earlier run with --delete noted, and note what the next may delete",
    )
    parser.add_argument("--verbose", action="store_true", help="list what is kept, and why")
    parser.set_defaults(run=_prune)


def _revisions(text: str) -> int:
    """Two at least: a pins file names the revision before, too."""
    if not text.isdecimal() or len(text) > 6 or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 2 on")
    return int(text)


def _age(text: str) -> float:
    """Seconds. An hour at least: a writer has so long from its last look to its ref."""
    found = _AGE.fullmatch(text)
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age from 1h on, such as 7d")
    return int(found[1]) * _UNITS[found[2]]


def _prune(args: argparse.Namespace, console: Console) -> Report:
    store, retention = open_store(args), Retention(args.keep, args.older_than)
    console.note(f"looking at {store.url} ...")
    known: prune.Manifests = {}
    plan = prune.survey(store, retention, known)
    if args.delete:
        with lease.held(store, whoami()) as right:
            # Under the lease, where it counts; what is known already is not read again.
            plan = prune.survey(store, retention, known)
            with console.progress("prune", plan.bytes) as advance:
                prune.carry_out(plan, right, advance)
    lines = list(_lines(plan, done=args.delete, verbose=args.verbose))
    return Report("\n".join(lines), _json(plan, done=args.delete))


def _lines(plan: Plan, *, done: bool, verbose: bool) -> Iterator[str]:
    if verbose:
        for (repo, commit), why in sorted(plan.kept.items(), key=str):
            yield f"kept {repo} at {commit}: {', '.join(why)}"
    delete, note = ("deleted", "noted") if done else ("would delete", "would note")
    for verb, going in ((delete, plan.doomed), (note, plan.noted)):
        for place, since in _of_revisions(going):
            when = f" since {since}" if since else ""
            size = human(plan.frees[place])
            yield f"{verb} {place[0]} at {place[1]} ({size}): no ref needs it{when}"
    yield f"{delete} {_counted(plan.doomed)}; {note} {_counted(plan.noted)} for a later prune"
    yield f"kept {counted(len(plan.kept), 'revision')}"


def _of_revisions(going: Iterable[Candidate]) -> Iterator[tuple[Place, str | None]]:
    return ((one.revision, one.since) for one in going if one.revision)


def _counted(going: Sequence[Candidate]) -> str:
    revisions, size = len(list(_of_revisions(going))), sum(one.stat.size for one in going)
    others = counted(len(going) - revisions, "other object")
    return f"{counted(revisions, 'revision')} and {others} ({human(size)})"


def _json(plan: Plan, *, done: bool) -> dict[str, Any]:
    return {
        "store": plan.store.url,
        "dryRun": not done,
        "deleted": _told(plan, plan.doomed),
        "noted": _told(plan, plan.noted),
        "kept": [
            {"repo": str(repo), "commit": commit, "why": list(why)}
            for (repo, commit), why in plan.kept.items()
        ],
    }


def _told(plan: Plan, going: Sequence[Candidate]) -> dict[str, Any]:
    """The keys are those of the store: what is behind them is in tools/docs/stores.md."""
    return {
        "revisions": [
            {
                "repo": str(place[0]),
                "commit": place[1],
                "since": since or plan.at,
                "bytes": plan.frees[place],
            }
            for place, since in _of_revisions(going)
        ],
        "keys": [one.stat.key for one in going],
        "bytes": sum(one.stat.size for one in going),
    }
