"""`waybill drift`: what is not as it should be, looked at from outside or by the CronJob."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from waybill import digest as digests
from waybill.cli import junit
from waybill.cli.arguments import Commands
from waybill.cli.install import add_release, release_of
from waybill.cli.output import CHANGES, Console, Report, counted, plain
from waybill.cli.reports import Texts, add_files, ending, why_ended
from waybill.deliver import helm
from waybill.deliver.cluster import Cluster
from waybill.deliver.pins import Revision
from waybill.errors import BadValue, ExtraMissing, Unreadable
from waybill.release import drift
from waybill.release.drift import Drift, Finding
from waybill.release.hub_drift import in_hub
from waybill.sign.predicates import stamp
from waybill.sign.trust import now
from waybill.store.layout import RepoId

METRICS = {
    "waybill_drift_findings": "Fields and objects that are not as they were rendered, and pinned "
    "revisions that the hub does not give.",
    "waybill_drift_unread_kinds": "Kinds of objects, and questions to the hub, without an answer.",
}
SHOWN = 180
"""Seconds: some times what Prometheus lets pass between two scrapes."""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "drift",
        help="compare pins, store, release and cluster; changes nothing",
        description="Name an environment; or, as the chart's CronJob does, a file of objects, a "
        "namespace and a release: then the cluster is compared, and a hub is asked for the pins.",
    )
    add_release(parser, nargs="?")
    parser.add_argument(
        "--detailed-exitcode", action="store_true", help="exit with 5 when something differs"
    )
    parser.add_argument("--expected", type=Path, metavar="FILE", help="the objects, as rendered")
    parser.add_argument("--namespace", help="where the objects of the file are")
    parser.add_argument("--release", help="the release that the objects are of")
    parser.add_argument("--hub", metavar="URL", help="the model hub of the release")
    parser.add_argument(
        "--pinned",
        action="append",
        default=[],
        metavar="REPO@DIGEST",
        help="a revision that the hub has to give; may be repeated",
    )
    parser.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="show the result to Prometheus here"
    )
    parser.add_argument(
        "--metrics-seconds", type=int, default=SHOWN, metavar="SECONDS", help="for so long"
    )
    add_files(parser, "what differs")
    parser.set_defaults(run=_drift)


def _revision(text: str) -> Revision:
    """Raises BadValue."""
    repo, _, digest = text.partition("@")
    return Revision(str(RepoId.parse(repo)), digests.parse(digest), 0)


def _drift(args: argparse.Namespace, console: Console) -> Report:
    looked: list[Drift] = []
    with ending(args, console, partial(_texts, args.environment or args.release or "", looked)):
        looked.append(_inside(args, console.note) if args.expected else _outside(args))
    (found,) = looked
    for each in found.unread:
        console.note(f"not looked at: {each}")
    lines = [line for each in found.findings for line in _told(each)]
    data = {"findings": [asdict(each) for each in found.findings], "unread": found.unread}
    report = Report("\n".join([*lines, _amount(found)]), data, _code(found, args.detailed_exitcode))
    if args.metrics_port:
        console.note(report.text)
        _show(found, args.metrics_port, args.metrics_seconds)
    return report


def _texts(name: str, looked: Sequence[Drift], error: BaseException | None) -> Texts:
    """Of what was looked at by then."""
    suite = f"waybill.drift.{name}"
    found = looked[0] if looked else Drift()
    stopped = why_ended(error) if error else ""
    cases = [
        junit.Case(suite, f"{each.object} {each.field}".strip(), "failure", "\n".join(_told(each)))
        for each in found.findings
    ]
    unread = [*found.unread, *([stopped] if stopped else [])]
    cases += [junit.Case(suite, "drift", "error", why) for why in unread]
    cases = cases or [junit.Case(suite, "drift")]
    rows = [plain("\n".join(_told(each))) for each in found.findings]
    rows += [f"not looked at: {plain(each)}" for each in found.unread]
    headline = plain(f"stopped: {stopped}" if stopped else _amount(found))
    report = "\n".join(
        [f"## Drift in {plain(name)}: {headline}", "", *(f"- {row}" for row in rows)]
    )
    return Texts(report.rstrip() + "\n", junit.suite(suite, stamp(now()), cases))


def _amount(found: Drift) -> str:
    amount = counted(len(found.findings), "difference") if found.findings else "no difference"
    return f"{amount} in what could be looked at" if found.unread else amount


def _code(found: Drift, detailed: bool) -> int:
    """What could not be looked at is no answer, and least of all a good one."""
    if detailed and found.findings:
        return CHANGES
    return 1 if found.unread else 0


def _outside(args: argparse.Namespace) -> Drift:
    if not args.environment:
        why = "name an environment: waybill drift ENV"
        raise BadValue(what="environment", value="", why=why)
    environment, release = release_of(args)
    return drift.look(environment, release, Cluster(release.namespace, release.context))


def _inside(args: argparse.Namespace, tell: Callable[[str], None]) -> Drift:
    if args.environment or not (args.namespace and args.release):
        why = "it goes with --namespace and --release, and with no environment"
        raise BadValue(what="--expected", value=str(args.expected), why=why)
    try:
        expected = helm.documents(args.expected.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(path=args.expected, why=reason) from error
    found = Drift()
    drift.in_cluster(found, expected, Cluster(args.namespace), args.release)
    if args.hub:
        in_hub(found, args.hub, [_revision(each) for each in args.pinned], tell)
    return found


def _told(found: Finding) -> list[str]:
    where = f"{found.object}: {found.field}" if found.field else found.object
    by = f" (by {found.by})" if found.by else ""
    lines = [f"{found.between}: {where}: {found.expected} expected, {found.found} found{by}"]
    return [*lines, f"  {found.advice}"] if found.advice else lines


def _show(found: Drift, port: int, seconds: int) -> None:
    """Long enough for Prometheus to come by: nobody else keeps what a Job has counted."""
    try:
        from prometheus_client import CollectorRegistry, Gauge, start_http_server
    except ImportError as error:
        raise ExtraMissing(what="metrics", package="prometheus-client", extra="hub") from error
    registry = CollectorRegistry()
    counts = (len(found.findings), len(found.unread))
    for (name, text), count in zip(METRICS.items(), counts, strict=True):
        Gauge(name, text, registry=registry).set(count)
    server, thread = start_http_server(port, registry=registry)
    time.sleep(seconds)
    server.shutdown()
    server.server_close()
    thread.join()
