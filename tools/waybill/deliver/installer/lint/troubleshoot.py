"""Rules of preflight checks and support bundles."""

from __future__ import annotations

import re

from waybill.deliver.installer.lint.folder import Folder
from waybill.deliver.installer.lint.rule import Found, rule

_OLD, _NOW, _NEXT = (
    "troubleshoot.replicated.com/v1beta1",
    "troubleshoot.sh/v1beta2",
    "troubleshoot.sh/v1beta3",
)
_BARE = re.compile(r"^apiVersion:\s*[\"']?(troubleshoot\.(?:sh|replicated\.com))/", re.MULTILINE)
_CRD = re.compile(r"^kind:\s*[\"']?CustomResourceDefinition", re.MULTILINE)


@rule("preflight-spec", "warn")
def preflight_spec(folder: Folder) -> Found:
    """Embedded Cluster 3 takes the next version alone, and no other installer takes it."""
    wanted = (_NEXT,) if folder.is_charts_only else (_OLD, _NOW)
    if not folder.of("Preflight", *wanted):
        yield "", f"there is no Preflight of {' or '.join(wanted)}"


@rule("troubleshoot-spec", "warn")
def troubleshoot_spec(folder: Folder) -> Found:
    if not [
        each for kind in ("Collector", "SupportBundle") for each in folder.of(kind, _OLD, _NOW)
    ]:
        yield "", f"there is no Collector or SupportBundle of {_NOW}"


@rule("troubleshoot-spec-in-chart-without-crd", "warn")
def bare_spec(folder: Folder) -> Found:
    for file in folder.charts:
        texts = {
            path: data.decode(errors="replace")
            for path, data in folder.content(file).items()
            if path.endswith((".yaml", ".yml"))
        }
        if any(_CRD.search(text) and "troubleshoot" in text for text in texts.values()):
            continue
        for path, text in texts.items():
            if "/templates/" in path and _BARE.search(text):
                yield file, f"{path} is of a kind that clusters do not know: put it into a Secret"
