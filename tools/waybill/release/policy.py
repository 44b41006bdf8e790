"""values/policy.yaml: what has to be so before anything is promoted, and when nothing is.

    steps:
      prod:
        licenses: [Apache-2.0]
        soak: 24h
        approvals: {count: 2, of: [alice, bob, carol]}
    freeze:
      weekend: {cron: "0 18 * * FRI", duration: 62h, timeZone: Europe/Berlin}
      office: {kind: allow, cron: "0 9 * * MON-FRI", duration: 8h, timeZone: Europe/Berlin}

Keys are named and kept in the trust policy of the environment that is promoted to. A project
without the file has no rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from waybill import digest as digests
from waybill import files
from waybill.deliver.environments import Environment, Environments
from waybill.digest import Digest
from waybill.errors import BadFile
from waybill.release.freeze import Window
from waybill.release.policy_schema import GATES, SCHEMA
from waybill.release.steps import seconds
from waybill.sign.trust import Anchor

FILE = "policy.yaml"

Lines = Mapping[tuple[str, ...], int]


@dataclass(frozen=True)
class Health:
    """What has to have been seen of it where it came from; `error_rate` is a share from 0 to 1."""

    signed_by: frozenset[str]
    span: timedelta
    requests: int
    error_rate: float | None
    ttft_p95: float | None


@dataclass(frozen=True)
class Evaluation:
    """A test that has to have passed."""

    signed_by: frozenset[str]
    environment: str | None
    max_age: timedelta | None
    takes_warnings: bool


@dataclass(frozen=True)
class Approvals:
    """`count` of these keys, to a plan that one of `planned_by` has signed; any, where empty."""

    count: int
    of: frozenset[str]
    planned_by: frozenset[str] = frozenset()

    @property
    def most(self) -> int:
        """So many can agree to a plan, as whoever has signed it does not count."""
        return len(self.of) - bool(self.planned_by and self.planned_by <= self.of)


@dataclass(frozen=True)
class Command:
    """A gate of the site's own."""

    words: tuple[str, ...]
    timeout: timedelta


@dataclass(frozen=True)
class Rules:
    """What the step to one environment asks for; nothing where a field is empty."""

    require: frozenset[str] = frozenset()
    repos: tuple[str, ...] = ()
    licenses: frozenset[str] = frozenset()
    signers: frozenset[str] = frozenset()
    deep: bool = False
    soak: timedelta | None = None
    health: Health | None = None
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    approvals: Approvals | None = None
    promoted_by: frozenset[str] = frozenset()
    commands: Mapping[str, Command] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Rules:
        return cls(
            require=frozenset(value.get("require", ())),
            repos=tuple(value.get("repos", ())),
            licenses=frozenset(value.get("licenses", ())),
            signers=frozenset(value.get("signers", ())),
            deep=value.get("bytes") == "deep",
            soak=span(value["soak"]) if "soak" in value else None,
            health=_health(value["health"]) if "health" in value else None,
            evaluations={
                name: _evaluation(one) for name, one in value.get("evaluations", {}).items()
            },
            approvals=_approvals(value["approvals"]) if "approvals" in value else None,
            promoted_by=frozenset(value.get("promotedBy", ())),
            commands={name: _command(one) for name, one in value.get("gates", {}).items()},
        )

    @property
    def keys(self) -> frozenset[str]:
        """All keys that it names."""
        asked = self.approvals or Approvals(0, frozenset())
        named = [self.signers, self.promoted_by, asked.of, asked.planned_by]
        named += [self.health.signed_by] if self.health else []
        named += [one.signed_by for one in self.evaluations.values()]
        return frozenset[str]().union(*named)


@dataclass(frozen=True)
class Policy:
    """The policy of a project; `digest` is that of the file, None where there is none."""

    path: Path
    digest: Digest | None = None
    steps: Mapping[str, Rules] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    lines: Lines = field(default_factory=dict)

    @classmethod
    def load(cls, environments: Environments) -> Policy:
        """Raises BadFile, also for an environment or a key that nobody knows."""
        path = environments.path.with_name(FILE)
        if not files.exists(path):
            return cls(path)
        data = files.read(path)
        value = files.parse(data, path, SCHEMA) or {}
        try:
            steps = {name: Rules.of(one) for name, one in value.get("steps", {}).items()}
            windows = tuple(_window(name, one) for name, one in value.get("freeze", {}).items())
            _check(environments, steps, windows)
        except ValueError as error:
            raise BadFile(path=path, why=str(error)) from error
        return cls(path, digests.of(data), steps, windows, lines_of(data))

    @property
    def exists(self) -> bool:
        return self.digest is not None

    def rules(self, target: str) -> Rules:
        return self.steps.get(target, Rules())

    def line(self, *keys: str) -> int | None:
        """Where a rule stands, or the one that it would be part of; None without a file."""
        known = (keys[:count] for count in range(len(keys), -1, -1))
        return next((self.lines[each] for each in known if each in self.lines), None)


def span(text: str) -> timedelta:
    """What the schema lets pass as a time."""
    return timedelta(seconds=seconds(text))


def _health(value: Mapping[str, Any]) -> Health:
    return Health(
        frozenset(value["signedBy"]),
        span(value["for"]),
        value.get("requests", 0),
        value.get("errorRate"),
        value.get("ttftP95Seconds"),
    )


def _evaluation(value: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        frozenset(value["signedBy"]),
        value.get("environment"),
        span(value["maxAge"]) if "maxAge" in value else None,
        value.get("warnings") == "allow",
    )


def _approvals(value: Mapping[str, Any]) -> Approvals:
    planned_by = frozenset(value.get("plannedBy", ()))
    return Approvals(value["count"], frozenset(value["of"]), planned_by)


def _command(value: Mapping[str, Any]) -> Command:
    return Command(tuple(value["command"]), span(value.get("timeout", "60s")))


def _window(name: str, value: Mapping[str, Any]) -> Window:
    where, allows = frozenset(value.get("environments", ())), value.get("kind") == "allow"
    length = span(value["duration"])
    try:
        return Window.of(name, value["cron"], length, value["timeZone"], where, allows=allows)
    except ValueError as error:
        raise ValueError(f"freeze.{name}: {error}") from error


def _check(
    environments: Environments, steps: Mapping[str, Rules], windows: tuple[Window, ...]
) -> None:
    """Raises ValueError for what could never hold: a typing mistake must not open a gate."""
    for window in windows:
        _check_names(f"freeze.{window.name}.environments", window.environments, environments)
    _check_names("steps", steps, environments)
    for name, rules in steps.items():
        _check_step(f"steps.{name}", rules, environments[name])


def _check_step(at: str, rules: Rules, environment: Environment) -> None:
    _check_names(f"{at}.require", rules.require, {*GATES, *rules.commands})
    if taken := sorted(set(rules.commands) & set(GATES)):
        raise ValueError(f"{at}.gates.{taken[0]}: there is a gate of that name")
    trusted = environment.policy()
    if rules.keys and trusted is None:
        raise ValueError(f"{at}: {environment.name} has no trust policy, and keys are named there")
    _check_names(f"{at}: keys", rules.keys, trusted.keys if trusted else ())
    if rules.approvals and trusted:
        named = [trusted.keys[name] for name in sorted(rules.approvals.of)]
        _check_apart(f"{at}.approvals.of", named)
    if rules.approvals and rules.approvals.count > rules.approvals.most:
        raise ValueError(f"{at}.approvals: {rules.approvals.count} of fewer keys cannot agree")


def _check_apart(at: str, anchors: Sequence[Anchor]) -> None:
    """Who has two names would be two people."""
    known: dict[str, str] = {}
    for anchor in anchors:
        for one in anchor.identities:
            if (other := known.setdefault(one, anchor.name)) != anchor.name:
                raise ValueError(f"{at}: {other} and {anchor.name} are one and the same")


def _check_names(at: str, named: Any, known: Any) -> None:
    if unknown := sorted(set(named) - set(known)):
        raise ValueError(f"{at}: {unknown[0]!r} is not known; known are: {', '.join(known)}")


def lines_of(data: bytes) -> Lines:
    """The line of each key of a YAML file that was read before, counted from 1."""
    return dict(_lines(yaml.compose(data)))


def _lines(
    node: yaml.Node | None, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int]]:
    if not at:
        yield (), 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*at, key.value), key.start_mark.line + 1
            yield from _lines(value, (*at, key.value))
