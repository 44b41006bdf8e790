"""A plan as people and machines of CI read it: Markdown, JUnit, and the texts of a change.

Nothing here decides; all is made from the plan's JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from waybill.cli import junit
from waybill.cli.change import Change
from waybill.cli.output import counted, human, plain
from waybill.digest import short_commit
from waybill.release.gates.case import Result, Verdict
from waybill.release.plan import Plan

_MARKS = {Result.PASS: "✅", Result.FAIL: "❌", Result.SKIP: "➖", Result.ERROR: "⚠️"}  # noqa: RUF001
_KINDS = {Result.FAIL: "failure", Result.ERROR: "error", Result.SKIP: "skipped"}
"""What JUnit calls them."""
_ROOM = {"models": 5_000, "gates": 10_000, "rendered": 12_000}
"""Letters of the longest parts: two reports fit into a comment of any forge (GitHub: 65,536)."""
_WIDE = 400
"""Letters of a line of the rendered difference; no more are read of it."""


def verdicts(plan: Plan) -> list[Verdict]:
    return [Verdict.from_json(one) for one in plan.outlook["gates"]]


def markdown(plan: Plan, outcome: str = "") -> str:
    """The report, for a comment on a change or the summary of a run.

    `outcome` is what came of it; where that is left out, what would come of it.
    """
    parts = [
        f"<!-- waybill plan {plan.source} {plan.target} -->",
        f"## {plan.source} → {plan.target}: {plain(outcome) or headline(plan)}",
        _models(plan),
        _bytes(plan),
        "### Gates",
        _gates(verdicts(plan)),
        "### What the cluster would see",
        *_rendered(plan),
        f"Plan `{plan.digest}`, made by {plain(plan.by)}; judged at {plan.outlook['at']}.",
    ]
    return "\n\n".join(parts) + "\n"


def headline(plan: Plan) -> str:
    denied = [one.gate for one in verdicts(plan) if one.denies]
    if not plan.outlook["changes"]:
        return "nothing to do"
    return f"denied by {', '.join(dict.fromkeys(denied))}" if denied else "may be applied"


def _models(plan: Plan) -> str:
    rows = [
        [
            name,
            plain(one["repo"]),
            _commits(one),
            human(plan.outlook["missing"].get(name, 0)),
            *map(plain, facts(plan, name)),
        ]
        for name, one in plan.models.items()
    ]
    return _table(["model", "repo", "commit", "to send", *FACTS], rows, _ROOM["models"])


def facts(plan: Plan, model: str) -> list[str]:
    """What FACTS names of a model, and what the target runs now where that is something else."""
    now, old = plan.models[model], plan.outlook.get("before", {}).get(model)
    told = [(show(old) if old else "", show(now)) for show in FACTS.values()]
    return [new if was in ("", new) else f"{was} → {new}" for was, new in told]


def _licenses(one: Mapping[str, Any]) -> str:
    return _listed(one["licenses"], "?")


def _signers(one: Mapping[str, Any]) -> str:
    return _listed(one["signers"], "nobody")


def _listed(names: Sequence[str] | None, none: str) -> str:
    return "not known" if names is None else ", ".join(names) or none


def _arguments(one: Mapping[str, Any]) -> str:
    """Of a map, as the chart takes it; what is none is shown as it is. Empty where not known."""
    if one["values"] is None:
        return ""
    given = one["values"].get("engineArgs")
    if not isinstance(given, Mapping):
        return "-" if given is None else json.dumps(given)
    return ", ".join(f"{name}: {json.dumps(value)}" for name, value in given.items()) or "-"


FACTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "size": lambda one: human(one["size"]),
    "license": _licenses,
    "signed by": _signers,
    "engine arguments": _arguments,
}
"""Of a revision, in a plan or in front of it."""


def _commits(one: Mapping[str, Any]) -> str:
    old, new = one["previous"], one["commit"]
    came = f"`{short_commit(old)}` → " if old and old != new else ""
    return f"{came}`{short_commit(new)}`"


def _bytes(plan: Plan) -> str:
    seen = plan.outlook
    if not seen["bytes"]:
        return "The target has all bytes."
    return f"{human(seen['bytes'])} are sent, about {duration(plan)}."


def duration(plan: Plan) -> str:
    """How long the sending takes, and by what it is reckoned."""
    seconds, rate = plan.outlook["seconds"], human(plan.outlook["rate"])
    length = f"{seconds} s"
    if seconds >= 120:
        length = f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
    return f"{length} at {rate} a second"


def _gates(found: Sequence[Verdict]) -> str:
    rows = [
        [
            f"{_MARKS[_told(one)]} {one.result}",
            one.gate,
            one.model or "",
            plain(one.reason),
            plain(one.place),
        ]
        # What denies comes first: not all may have room.
        for one in sorted(found, key=lambda one: not one.denies)
    ]
    return _table(["", "gate", "model", "why", "rule"], rows, _ROOM["gates"])


def _told(one: Verdict) -> Result:
    """A gate that is asked for and was skipped denies as one that fails."""
    return Result.FAIL if one.denies and one.result is Result.SKIP else one.result


def _rendered(plan: Plan) -> Iterator[str]:
    seen = plan.outlook["rendered"]
    if seen["skipped"] is not None:
        yield f"Not known: {plain(seen['skipped'])}"
    elif not seen["changes"]:
        yield "Nothing changes."
    else:
        named = [f"- {one['verb']} {one['kind']} {one['name']}" for one in seen["changes"]]
        yield _cut(named, _ROOM["models"])
        lines = [_narrow(line) for one in seen["changes"] for line in _diff(one)]
        text = _cut(lines, _ROOM["rendered"])
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        block = f"{fence}diff\n{text}\n{fence}"
        yield f"<details><summary>Differences</summary>\n\n{block}\n\n</details>"


def _diff(change: Mapping[str, Any]) -> list[str]:
    return [f"# {change['kind']} {change['name']}", *change["lines"]]


def _narrow(line: str) -> str:
    return line if len(line) <= _WIDE else f"{line[:_WIDE]}…"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows]]
    kept, left = _within(lines, room)
    return "\n".join([*kept, *(["", left] if left else [])])


def _within(lines: Sequence[str], room: int) -> tuple[list[str], str]:
    """As many as have room, and a line about those that have none."""
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return kept, f"… {counted(len(lines) - len(kept), 'line')} more in plan.json"
        kept.append(line)
    return kept, ""


def _cut(lines: Sequence[str], room: int) -> str:
    kept, left = _within(lines, room)
    return "\n".join([*kept, *([left] if left else [])])


def moves(plan: Plan) -> list[str]:
    """A sentence for each model, for a terminal."""
    told = []
    for name, one in plan.models.items():
        old, new = one["previous"], f"{one['repo']}@{short_commit(one['commit'])}"
        came = "stands at " if old == one["commit"] else f"{short_commit(old)} → " if old else ""
        told.append(f"{name} in {plan.target}: {came}{new}")
    return told


def test_cases(plan: Plan, failure: str = "") -> str:
    """A test suite: each gate is a case, by the model that it looks at.

    `failure` is why the promotion ended though every gate let it through.
    """
    name = f"waybill.{plan.source}.{plan.target}"
    found = [_case(name, one) for one in verdicts(plan)]
    if failure:
        found.append(junit.Case(name, "promotion", "error", failure))
    return junit.suite(name, plan.outlook["at"], found)


def _case(name: str, one: Verdict) -> junit.Case:
    of = f"{name}.{one.model}" if one.model else name
    kind = _KINDS.get(_told(one), "")
    text = f"{one.reason} ({one.place})" if kind in ("failure", "error") else None
    place = {"file": one.file, "line": str(one.line)} if one.file and one.line else {}
    return junit.Case(of, one.gate, kind, one.reason, text, place)


def pull_request(plan: Plan, outcome: str = "", only: Collection[str] | None = None) -> Change:
    """The change that carries the promotion; `outcome` as in `markdown`.

    `only`: these models have moved, where that is not all of them.
    """
    names = [name for name in plan.models if not only or name in only]
    models = ", ".join(names)
    moved = [
        f"{name}: {short_commit(one['previous'] or 'nothing')} -> {short_commit(one['commit'])}"
        for name, one in plan.models.items()
        if name in names
    ]
    short = short_commit(plan.digest.partition(":")[2])
    return Change(
        branch=f"waybill/{plan.source}-{plan.target}-{short}",
        title=f"Promote {models} from {plan.source} to {plan.target}",
        text="\n".join([*moved, "", f"Waybill-Plan: {plan.digest}"]),
        body=markdown(plan, outcome),
    )
