"""Rules of the charts in a release."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from waybill.deliver.installer.charts import Chart, templated
from waybill.deliver.installer.lint.folder import Document, Folder, maps, strings
from waybill.deliver.installer.lint.rule import Found, rule
from waybill.errors import HelmFailed

_RELEASE_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_OF_KOTS = re.compile(r"\b(HasLocalRegistry|LocalRegistry\w+|LocalImageName|ImagePullSecretName)\b")
_OF_CLUSTER_3 = re.compile(r"\b(ReplicatedImageName|ReplicatedImageRegistry|HelmValue)\b")


def release_name(each: Document) -> str:
    """Where either version of the kind has it; the chart's name where neither does."""
    chart = each.part("chart")
    return str(each.spec.get("releaseName") or chart.get("releaseName") or chart.get("name", ""))


def _named(each: Document) -> tuple[str, str]:
    chart = each.part("chart")
    return str(chart.get("name", "")), str(chart.get("chartVersion", ""))


@rule("duplicate-helm-release-name", "error")
def duplicate_release(folder: Folder) -> Found:
    counted = Counter(release_name(each) for each in folder.helm_charts)
    for each in folder.helm_charts:
        if counted[release_name(each)] > 1:
            yield each.file, f"two charts are installed as {release_name(each)}: rename one"


@rule("invalid-helm-release-name", "warn")
def invalid_release(folder: Folder) -> Found:
    for each in folder.helm_charts:
        if not _RELEASE_NAME.fullmatch(release_name(each)):
            yield (
                each.file,
                f"{release_name(each)!r} is no name of a release: use a-z, 0-9 and single dashes",
            )


@rule("helm-archive-missing", "error")
def missing_archive(folder: Folder) -> Found:
    there = {(chart.name, chart.version) for chart in folder.charts.values()}
    for each in folder.helm_charts:
        if _named(each) not in there:
            yield each.file, f"no archive holds the chart {' '.join(_named(each))}"


@rule("helm-chart-missing", "error")
def missing_chart(folder: Folder) -> Found:
    wanted = {_named(each) for each in folder.helm_charts} | _extensions(folder)
    for file, chart in folder.charts.items():
        if (chart.name, chart.version) not in wanted:
            yield file, f"nothing installs it: add a HelmChart for {chart.name} {chart.version}"


def _extensions(folder: Folder) -> set[tuple[str, str]]:
    """The charts that a cluster brings along."""
    return {
        (str(entry["chart"].get("name")), str(entry["chart"].get("chartVersion")))
        for each in folder.clusters
        for entry in maps(each.part("extensions").get("helmCharts"))
        if isinstance(entry.get("chart"), dict)
    }


@rule("helm-schema-violation", "error")
def schema_violation(folder: Folder) -> Found:
    """The chart as it is, and with what the images are found by. Raises HelmMissing."""
    charts = {(chart.name, chart.version): chart for chart in folder.charts.values()}
    for each in folder.helm_charts:
        chart = charts.get(_named(each))
        if chart and (why := _refused(chart, each.spec.get("builder") or {})):
            yield each.file, f"Helm does not take the chart's values with its builder: {why}"


def _refused(chart: Chart, builder: Any) -> str:
    try:
        templated(chart, builder)
    except HelmFailed as error:
        return str(error.facts["why"])
    return ""


@rule("builder-has-templates", "error")
def templated_builder(folder: Folder) -> Found:
    """Nobody has chosen anything yet when images are looked for."""
    for each in folder.helm_charts:
        for path, text in strings(each.spec.get("builder")):
            if "repl{{" in text or "{{repl" in text:
                yield each.file, f"builder.{'.'.join(path)} is a template: write a plain value"


@rule("function-of-another-installer", "error")
def foreign_function(folder: Folder) -> Found:
    """Each generation has its own functions for images, and fails at the other's."""
    pattern = _OF_KOTS if folder.is_charts_only else _OF_CLUSTER_3
    for each in folder.documents:
        named = {name for _, text in strings(each.value) for name in pattern.findall(text)}
        for name in sorted(named):
            yield each.file, f"the installer of this release knows no {name}"
