"""Preflight checks and support bundles, for each installer in its own version and language.

Up to Embedded Cluster 2 they are rendered with what a person has chosen; Embedded Cluster 3 renders
preflight checks once for each chart, with the chart's values, so they run for the settings' chart.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from waybill.deliver.installer.expressions import answer, chosen, repl
from waybill.deliver.installer.sources import document
from waybill.deliver.installer.targets import Target

SETTINGS = "waybill-settings"
_FACT = re.compile(r"\$\((\w+)\)")


class Fact(NamedTuple):
    """An expression over what was chosen; `plain` gives true or false, which want no quotes."""

    expression: str
    plain: bool = False


FACTS = {
    "no_gpu": Fact(chosen("hardware", "cpu"), plain=True),
    "no_store": Fact(chosen("store", "embedded"), plain=True),
    "gpus": Fact(answer("gpus", "1")),
    "storage_class": Fact(answer("storage_class")),
    "store_endpoint": Fact(answer("store_endpoint")),
    "store_region": Fact(answer("store_region", "us-east-1")),
    "store_bucket": Fact(answer("store_bucket", "waybill")),
    "store_key_id": Fact(answer("store_key_id")),
    "store_secret_key": Fact(answer("store_secret_key")),
    "namespace": Fact("Namespace"),
}


def checks() -> dict[str, str]:
    """All facts that preflight checks read, as values of the settings' chart."""
    named = set(_FACT.findall(str(document("preflight"))))
    return {name: _chosen(name) for name in FACTS if name in named}


def preflight(target: Target) -> dict[str, Any]:
    if not target.charts_only:
        return {
            "apiVersion": "troubleshoot.sh/v1beta2",
            "kind": "Preflight",
            **_rendered("preflight"),
        }
    found = document("preflight")
    for each in (*found["spec"]["collectors"], *found["spec"]["analyzers"]):
        (kind,) = each
        each[kind]["exclude"] = _elsewhere(each[kind].get("exclude", ""))
    found = _filled(found, _of_values)
    return {"apiVersion": "troubleshoot.sh/v1beta3", "kind": "Preflight", **found}


def support_bundle() -> dict[str, Any]:
    """The same for all: no installer takes another version."""
    found = _rendered("support_bundle")
    return {"apiVersion": "troubleshoot.sh/v1beta2", "kind": "SupportBundle", **found}


def _rendered(name: str) -> Any:
    return _filled(document(name), _chosen)


def _filled(value: Any, fill: Any) -> Any:
    """The document with each `$(name)` filled in."""
    if isinstance(value, dict):
        return {key: _filled(each, fill) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, fill) for each in value]
    if isinstance(value, str):
        return _FACT.sub(lambda match: fill(match[1]), value)
    return value


def _chosen(name: str) -> str:
    fact = FACTS[name]
    return repl(fact.expression if fact.plain else f"{fact.expression} | toJson")


def _of_values(name: str) -> str:
    return f"{{{{ (.Values.checks | default dict).{name} }}}}"


def _elsewhere(condition: str) -> str:
    """Left out for every other chart, and by its own condition, which is `$(name)` or nothing."""
    otherwise = condition or "false"
    return f'{{{{ if eq .Chart.Name "{SETTINGS}" }}}}{otherwise}{{{{ else }}}}true{{{{ end }}}}'
