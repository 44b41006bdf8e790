"""`waybill attest`: run a test, or ask a deployed engine, and keep the result as evidence."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from waybill import digest as digests
from waybill.cli.arguments import Commands, project, words
from waybill.cli.keys import add_key, signer_of
from waybill.cli.output import DENIED, Console, Report, counted
from waybill.deliver import values
from waybill.deliver.environments import Environments
from waybill.errors import BadFile, BadValue
from waybill.release import attest, evaluation
from waybill.release.attest import Subject
from waybill.release.evaluation import Engine, Questions
from waybill.sign.predicates import Outcome, Trial

TOKEN = "WAYBILL_TOKEN"  # noqa: S105 - the name of a variable


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "attest",
        help="run a test of a revision and keep its signed result",
        description="Run a test of a revision, or ask a deployed engine a few questions, and keep "
        "the result, signed, beside the revision in the environment's store. The exit code is the "
        "test's, and 3 where an evaluation fails.",
        epilog="behind --: the test, as in: waybill attest chat --env test --name acceptance "
        "--key tester.pem --junit report.xml -- pytest --junitxml report.xml",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="what the environment pins; or OWNER/NAME@COMMIT"
    )
    parser.add_argument("--env", required=True, metavar="ENV", help="where it is tested")
    parser.add_argument(
        "--name", required=True, type=words, help="what policies and people call this test"
    )
    add_key(parser, required=True)
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="the report that the test writes: cases count"
    )
    add_smoke(parser, "no command: ask the engine or the gateway there")
    parser.set_defaults(run=_attest, behind=[])


def add_smoke(parser: argparse.ArgumentParser, text: str) -> None:
    """Where a few questions go, and what they are."""
    parser.add_argument("--smoke", metavar="URL", help=text)
    parser.add_argument(
        "--questions",
        type=Path,
        metavar="FILE",
        help=f"what --smoke asks, and what it expects (default: {evaluation.FILE})",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"bearer token (default: in {TOKEN})"
    )
    parser.add_argument("--ca-bundle", metavar="FILE", help="CA that signed the key of --smoke")


def _attest(args: argparse.Namespace, console: Console) -> Report:
    if bool(args.smoke) == bool(args.behind):
        why = "give one of them: a test behind --, or --smoke URL"
        raise BadValue(what="test", value=" ".join(args.behind), why=why)
    signer = signer_of(args, console)
    assert signer  # noqa: S101 - the flag is required
    tested = attest.subject(Environments.load(project(args))[args.env], args.model)
    trial, code = _smoke(args, console, tested) if args.smoke else _run(args, tested)
    attest.keep(tested, trial, signer)
    what = f"{tested.repo} at {tested.manifest.commit}"
    text = f"{trial.name} of {what} in {args.env}: {_told(trial)}, signed by key {signer.key_id}"
    data: dict[str, Any] = {
        "repo": str(tested.repo),
        "commit": tested.manifest.commit,
        "digest": tested.manifest.descriptor.digest,
        "keyId": signer.key_id,
        "predicate": trial.as_json(),
    }
    return Report(text, data, code)


def _told(trial: Trial) -> str:
    said = {"passed": trial.passed, "warned": trial.warned, "failed": trial.failed}
    counts = [f"{counted(len(names), 'case')} {kind}" for kind, names in said.items() if names]
    return ", ".join([trial.result.lower(), *counts])


def _run(args: argparse.Namespace, tested: Subject) -> tuple[Trial, int]:
    ran = attest.run(args.behind, tested.facts, args.junit)
    cases = ran.cases
    trial = Trial(
        name=args.name,
        environment=args.env,
        model=tested.model,
        at=datetime.now(UTC),
        result=ran.outcome,
        passed=cases.passed,
        failed=cases.failed,
        configuration=ran.configuration,
        seconds=ran.seconds,
        measured={"exitCode": ran.code, "skipped": len(cases.skipped)},
    )
    return trial, ran.code or (DENIED if ran.outcome is Outcome.FAILED else 0)


def _smoke(args: argparse.Namespace, console: Console, tested: Subject) -> tuple[Trial, int]:
    trial = evaluated(args, console, tested, _engine(args, tested))
    return trial, DENIED if trial.result is Outcome.FAILED else 0


def exactly(args: argparse.Namespace, tested: Subject) -> Engine:
    """As `--smoke` says it, asked by the revision's own name, whatever its share of the traffic."""
    name = f"{tested.model}@{digests.short_commit(tested.manifest.commit)}"
    return replace(_engine(args, tested), names=[name])


def evaluated(args: argparse.Namespace, console: Console, tested: Subject, engine: Engine) -> Trial:
    questions = Questions.load(args.questions or project(args) / evaluation.FILE)
    began = time.monotonic()
    answers = engine.evaluate(questions)
    for answer in answers:
        console.note(f"{answer.question.name}: {answer.why or f'good, {answer.seconds:.1f} s'}")
    console.note(f"asked for {time.monotonic() - began:.1f} s")
    where = tested.environment.name
    return evaluation.trial(args.name, where, engine, questions, answers)


def _engine(args: argparse.Namespace, tested: Subject) -> Engine:
    """Raises BadValue for a URL that cannot be asked, or holds credentials."""
    parts = urlsplit(args.smoke)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        why = "it must be http(s)://host, without credentials: those are for --token-file"
        raise BadValue(what="--smoke", value=args.smoke.rpartition("@")[2], why=why)
    if not tested.model:
        why = f"{args.env} pins no model at this commit, so no engine there serves it"
        raise BadValue(what="model", value=args.model, why=why)
    entry = values.model(tested.environment.values_path, tested.model)
    names = [str(name) for name in entry.get("servedNames") or [tested.model]]
    commit, token = tested.manifest.commit, _token(args.token_file)
    return Engine(args.smoke, tested.model, names, commit, token, args.ca_bundle)


def _token(path: Path | None) -> str:
    if path is None:
        return os.environ.get(TOKEN, "").strip()
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path=path, why=f"it holds no token ({error})") from error
