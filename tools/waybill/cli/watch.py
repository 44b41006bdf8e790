"""`waybill watch`: follow new revisions until they have all the traffic, or it is back."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from waybill.cli import change, junit
from waybill.cli.arguments import Commands, add_single_writer, project, whoami, words
from waybill.cli.attest import add_smoke, evaluated, exactly
from waybill.cli.install import add_release, release_of
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import DENIED, Console, Report, plain
from waybill.cli.reports import Texts, add_files, ending, why_ended
from waybill.deliver import pins
from waybill.deliver.cluster import Cluster
from waybill.deliver.environments import Environment, Environments
from waybill.deliver.helm import Helm
from waybill.digest import short_commit
from waybill.errors import NothingPinned, WaybillError
from waybill.release import attest, follow, health, hold, steps
from waybill.release.follow import Follower
from waybill.sign.keys import Signer
from waybill.sign.predicates import Outcome, stamp
from waybill.sign.trust import now

EVALUATION = "smoke"
"""What policies call the evaluation."""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "watch",
        help="follow new revisions: give them traffic by steps, take it back when they do badly",
        description="Wait until an environment serves what is pinned, give new revisions their "
        "traffic by the steps of the values, and follow errors and times to the first token. One "
        "that exceeds its limits goes back by itself. The exit code is 3 where one does badly.",
    )
    add_release(parser)
    parser.add_argument(
        "--model", action="append", default=[], metavar="MODEL", help="this one (default: all)"
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=duration,
        default=60,
        metavar="TIME",
        help="look so long at a revision with all the traffic, as 90s, 10m or 2h (default: 60s)",
    )
    parser.add_argument(
        "--timeout",
        type=int,
        metavar="SECONDS",
        help="wait so long until it is ready (default: by the models' size)",
    )
    parser.add_argument(
        "--by", default=whoami(), type=words, help="who decides (default: the user)"
    )
    add_smoke(parser, "first ask each revision there, by its own name: the gateway's address")
    add_files(parser, "what became of each model")
    change.add_pull_request(parser)
    add_key(parser)
    add_single_writer(parser)
    parser.set_defaults(run=_watch, name=EVALUATION)


def duration(text: str) -> int:
    try:
        return steps.seconds(text)
    except (ValueError, LookupError):
        raise argparse.ArgumentTypeError("write it as 90s, 10m or 2h") from None


def _watch(args: argparse.Namespace, console: Console) -> Report:
    told = _Told()
    with ending(args, console, partial(_texts, args.environment, told)):
        _follow(args, console, told)
        if told.unkept and not told.bad:
            raise told.unkept[0]
    return Report("\n".join(told.lines), {"models": told.models}, DENIED if told.bad else 0)


@dataclass
class _Told:
    """What became of the models so far; `unkept` is why signed words about some are not kept."""

    lines: list[str] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    unkept: list[WaybillError] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        return any(each["why"] for each in self.models)

    def add(self, follower: Follower, signer: Signer | None, outcome: follow.Outcome) -> None:
        line = _line(follower.environment, follower.model, outcome)
        try:
            if signer:
                health.attest(follower, outcome, signer)
        except WaybillError as error:
            self.unkept.append(error)
            line += f"; no signed word says so ({error})"
        self.lines.append(line)
        self.models.append(_json(follower.model, outcome))


def _follow(args: argparse.Namespace, console: Console, told: _Told) -> None:
    environment, release = release_of(args)
    signer = signer_of(args, console)
    cluster = Cluster(release.namespace, release.context)
    models = args.model or _served(environment, release)
    if not models:
        raise NothingPinned(environment=environment.name)
    held = hold.puts_hold(Environments.load(project(args)))
    made = partial(change.of_rollout, environment.name, said=told.lines)
    with change.kept(args, console, environment, made):
        for model in models:
            follower = Follower(environment, release, cluster, model, console.note, args.by, held)
            follower = replace(follower, single_writer=args.single_writer)
            if args.smoke:
                ask = partial(_ask, args, console, environment, model, signer)
                follower = replace(follower, evaluate=ask)
            follower = replace(follower, said=partial(told.add, follower, signer))
            follower.run(args.seconds, args.timeout)


def _texts(environment: str, told: _Told, error: BaseException | None) -> Texts:
    """How far it came."""
    stopped = why_ended(error) if error else ""
    name = f"waybill.watch.{environment}"
    cases = [
        junit.Case(name, each["model"], "failure" if each["why"] else "", each["why"])
        for each in told.models
    ]
    cases += [junit.Case(name, "watch", "error", stopped)] if stopped else []
    said = [*told.lines, *([f"stopped: {stopped}"] if stopped else [])]
    title = f"## Rollout in {plain(environment)}"
    report = "\n".join([title, "", *(f"- {plain(line)}" for line in said)]).rstrip() + "\n"
    return Texts(report, junit.suite(name, stamp(now()), cases))


def _served(environment: Environment, release: Helm) -> list[str]:
    """The models that are pinned and have engines of ours."""
    entries = release.values()["global"]["models"]
    ours = {
        name
        for name, entry in entries.items()
        if entry.get("enabled") and entry.get("target", "deployment") == "deployment"
    }
    return sorted(ours & pins.load(environment.pins_path).models.keys())


def _ask(
    args: argparse.Namespace,
    console: Console,
    environment: Environment,
    model: str,
    signer: Signer | None,
) -> str:
    """What is wrong with the answers; signed, and kept with the revision, where there is a key."""
    tested = attest.subject(environment, model)
    trial = evaluated(args, console, tested, exactly(args, tested))
    if signer:
        attest.keep(tested, trial, signer)
    failed = trial.result is Outcome.FAILED
    return f"it answers wrongly: {', '.join(trial.failed)}" if failed else ""


def _line(environment: Environment, model: str, outcome: follow.Outcome) -> str:
    seen, short = outcome.seen, short_commit(outcome.commit)
    if outcome.why:
        line = f"{model}: {short} {_where(outcome)}: {outcome.why}"
        again = f"waybill rollback {environment.name} {model} --to {outcome.back}"
        unrecorded = f"; no record says so ({outcome.unrecorded}): {again}"
        return line + unrecorded if outcome.unrecorded else line
    if not seen.requests:
        return (
            f"{model}: {short} has all the traffic, and no request came: nobody knows how it does"
        )
    times = ", ".join(f"{name} {value:.2f} s" for name, value in seen.ttft.items())
    ttft = f", first token {times}" if times else ""
    return f"{model}: {short} does well: {seen.errors} of {seen.requests} requests failed{ttft}"


def _where(outcome: follow.Outcome) -> str:
    if outcome.stuck:
        return f"is not known to have gone back ({outcome.stuck})"
    if outcome.back:
        return f"went back to {short_commit(outcome.back)}"
    return f"keeps its traffic, for {outcome.keeps}"


def _json(model: str, outcome: follow.Outcome) -> dict[str, Any]:
    return {
        "model": model,
        "commit": outcome.commit,
        "back": outcome.back,
        "keeps": outcome.keeps,
        "recorded": not outcome.unrecorded if outcome.back else None,
        "why": outcome.why,
        "requests": outcome.seen.requests,
        "errors": outcome.seen.errors,
        "ttftSeconds": dict(outcome.seen.ttft),
        "replicas": outcome.replicas,
        "since": outcome.since.isoformat(),
        "until": outcome.until.isoformat(),
    }
