"""The config screen: what a person chooses, and the secrets that are made once and hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from waybill.deliver.installer.expressions import answer, repl
from waybill.deliver.installer.sources import document
from waybill.deliver.secrets import Plan

Secrets = Mapping[str, Mapping[str, str]]
"""Secret -> key -> value or expression."""


def option_of(secret: str, key: str) -> str:
    """The hidden option that keeps a value."""
    return re.sub(r"[^a-z0-9]+", "_", f"secret_{secret}_{key}".lower())


def config(plan: Plan) -> dict[str, Any]:
    """The questions, and behind them a hidden option for each random value of the chart's plan."""
    found: dict[str, Any] = document("config")
    hidden = {
        "name": "secrets",
        "title": "Secrets",
        "description": "Made once, and kept.",
        "items": list(_hidden(plan)),
    }
    found["spec"]["groups"].append(hidden)
    return found


def _hidden(plan: Plan) -> Iterator[dict[str, Any]]:
    for name, keys in sorted(plan.secrets.items()):
        for key, entry in sorted(keys.items()):
            if "random" in entry:
                yield {
                    "name": option_of(name, key),
                    "title": f"{name} {key}",
                    "type": "password",
                    "hidden": True,
                    "value": repl(f"RandomString {entry['random']}"),
                }


def generated(plan: Plan) -> Secrets:
    """What the plan asks for, with the hidden options in place of random values."""
    return {
        name: {key: _value(name, key, entry) for key, entry in sorted(keys.items())}
        for name, keys in sorted(plan.secrets.items())
    }


def _value(name: str, key: str, entry: Mapping[str, Any]) -> str:
    if "value" in entry:
        return str(entry["value"])
    return repl(f"{answer(option_of(name, key))} | toJson")
