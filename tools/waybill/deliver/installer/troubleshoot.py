"""Preflight checks and support bundles, for each installer in its own version and language.

Up to Embedded Cluster 2 they are rendered with what a person has chosen; Embedded Cluster 3 renders
preflight checks once for each chart, with the chart's values, so they run for the settings' chart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from waybill.deliver.demands import CUDA_LABELS
from waybill.deliver.installer.expressions import answer, chosen, repl
from waybill.deliver.installer.sources import document
from waybill.deliver.installer.targets import Target

SETTINGS = "waybill-settings"
_V2, _V3 = ({"apiVersion": f"troubleshoot.sh/v1beta{version}"} for version in (2, 3))
_OLDEST_CUDA = 9
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


def preflight(target: Target, cuda: str) -> dict[str, Any]:
    """`cuda` is the version in the engines' image, "" where it has none."""
    found = _document("preflight", cuda)
    if not target.charts_only:
        return {**_V2, "kind": "Preflight", **_filled(found, _chosen)}
    for each in (*found["spec"]["collectors"], *found["spec"]["analyzers"]):
        (kind,) = each
        each[kind]["exclude"] = _elsewhere(each[kind].get("exclude", ""))
    return {**_V3, "kind": "Preflight", **_filled(found, _of_values)}


def support_bundle(cuda: str) -> dict[str, Any]:
    """The same for all: no installer takes another version."""
    return {**_V2, "kind": "SupportBundle", **_filled(_document("support_bundle", cuda), _chosen)}


def _document(name: str, cuda: str) -> Any:
    found = document(name)
    if cuda:
        found["spec"]["analyzers"].extend(_drivers(int(cuda.partition(".")[0])))
    return found


def _drivers(needed: int) -> Iterator[dict[str, Any]]:
    """Nodes say what their driver runs where NVIDIA's discovery labels them; others say nothing.

    A node with labels of both ages is asked for the newer one alone.
    """
    values = [str(major) for major in range(_OLDEST_CUDA, needed)]
    newer, older = ({"key": f"{prefix}.major"} for prefix in CUDA_LABELS)
    yield _driver("GPU driver", needed, {**newer, "operator": "In", "values": values})
    absent = {**newer, "operator": "DoesNotExist"}
    found = {**older, "operator": "In", "values": values}
    yield _driver("GPU driver, by its older label", needed, found, absent)


def _driver(name: str, needed: int, *labels: dict[str, Any]) -> dict[str, Any]:
    message = f"The driver of a node runs no CUDA {needed}, which the engines want. Update it."
    return {
        "nodeResources": {
            "checkName": name,
            "exclude": "$(no_gpu)",
            "filters": {"selector": {"matchExpressions": list(labels)}},
            "outcomes": [
                {"fail": {"when": "count() > 0", "message": message}},
                {"pass": {"message": "No node says that its driver is too old."}},
            ],
        }
    }


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
    """It stands between single quotes: those inside are written twice, and named by number."""
    fact = f"(.Values.checks | default dict).{name}"
    return f'{{{{ {fact} | toString | replace "\\x27" "\\x27\\x27" }}}}'


def _elsewhere(condition: str) -> str:
    """Left out for every other chart, and by its own condition, which is `$(name)` or nothing."""
    otherwise = condition or "false"
    return f'{{{{ if eq .Chart.Name "{SETTINGS}" }}}}{otherwise}{{{{ else }}}}true{{{{ end }}}}'
