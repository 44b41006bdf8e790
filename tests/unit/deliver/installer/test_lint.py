"""Each rule of releases finds its bad sample, and only that."""

from collections.abc import Mapping

import pytest

from tests.unit.deliver.installer.samples import ERRORS, OWN, WARNINGS, WITH_HELM, Files, Sample
from waybill.deliver.installer.charts import archived
from waybill.deliver.installer.lint import RULES, Folder

ALL = {**ERRORS, **WARNINGS, **OWN}


def folder(files: Files) -> Folder:
    return Folder({name: content(each) for name, each in files.items()})


def content(text: str | Mapping[str, str]) -> bytes:
    if isinstance(text, str):
        return text.encode()
    return archived({path: each.encode() for path, each in text.items()})


@pytest.mark.parametrize(("name", "sample"), ALL.items(), ids=ALL.keys())
def test_a_rule_finds_what_is_bad_and_lets_pass_what_is_good(name: str, sample: Sample) -> None:
    found = list(RULES[name].check(folder(sample.bad)))
    assert found
    assert all(message and not message.endswith(".") for _, message in found)
    assert all(file == "" or file in sample.bad for file, _ in found)
    assert list(RULES[name].check(folder(sample.good))) == []


def test_every_rule_has_samples_and_its_level() -> None:
    assert ALL.keys() | WITH_HELM == RULES.keys()
    assert len(ERRORS.keys() | WITH_HELM) == 25
    assert len(WARNINGS) == 12
    assert {name for name, rule in RULES.items() if rule.level == "warn"} == WARNINGS.keys()


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_stumbles_over_nonsense(rule: str) -> None:
    nonsense = {
        "a.yaml": b"- 1\n",
        "b.yaml": b"\xff\x00",
        "c.yaml": b"apiVersion: kots.io/v1beta1\nkind: Config\nspec: 7\n",
        "d.yaml": b"apiVersion: kots.io/v1beta1\nkind: Config\nspec: {groups: [1, {items: {}}]}\n",
        "e.yaml": b"apiVersion: kots.io/v1beta1\nkind: LintConfig\nspec: {rules: [{}]}\n",
        "f.tgz": b"no archive",
        "h.yaml": b"apiVersion: kots.io/v1beta2\nkind: HelmChart\nspec: {chart: 3, weight: a}\n",
        "i.yaml": b"apiVersion: kots.io/v1beta1\nkind: Application\nspec: {statusInformers: 1}\n",
        "j.yaml": b"apiVersion: embeddedcluster.replicated.com/v1beta1\nkind: Config\n"
        b"spec: {version: 3, extensions: {helmCharts: [1, {chart: 2}]}}\n",
        "g.yaml": b"apiVersion: [1]\nkind: {}\nmetadata: 3\n",
    }
    if rule not in WITH_HELM:
        list(RULES[rule].check(Folder(nonsense)))
