"""Each rule of releases finds its bad sample, and only that."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.deliver.installer.samples import (
    ERRORS,
    OWN,
    WARNINGS,
    WITH_HELM,
    Files,
    Sample,
    options,
)
from waybill.deliver.installer.charts import archived
from waybill.deliver.installer.lint import RULES, Folder, examine

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


NONSENSE = {
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
    "k.yaml": b"apiVersion: kots.io/v1beta1\nkind: LintConfig\n"
    b"spec: {rules: [{name: [a], level: {}}]}\n",
    "l.yaml": b"apiVersion: kots.io/v1beta1\nkind: Config\nspec: {groups: [{items: [\n"
    b"  {name: [a], type: [b], when: {}, value: {}, repeatable: 1, templates: [{yamlPath: []}]},\n"
    b"  {name: {a: b}, validation: {regex: {pattern: [1]}}}, {}]}]}\n",
    "n.yaml": b"a: !!bool foo\n",
    "o.yaml": b"a: !!timestamp x\n",
    "p.yaml": b"a: 2026-99-99\n",
    "q.yaml": b"[" * 600,
    "r.yaml": b"apiVersion: kots.io/v1beta1\nkind: Config\nspec: {groups: [{items: [\n"
    b"  {name: a, validation: {regex: {pattern: 'a{99999999999}'}}}]}]}\n",
    "m.yaml": b"apiVersion: kots.io/v1beta2\nkind: HelmChart\n"
    b"spec: {chart: {name: [a], chartVersion: {}}, releaseName: [b], builder: [1]}\n",
}


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_stumbles_over_nonsense(rule: str) -> None:
    if rule not in WITH_HELM:
        list(RULES[rule].check(Folder(NONSENSE)))


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\++[0-9]+$",
        r"^[*+]+$",
        r"^\\1$",
        r"^[]+]+$",
        "^a{1000}$",
        "^a{,9999999999}$",
        r"\A\pL+\z",
        r"\x{41}",
        r"^\\C$",
        r"^[\p{L}\p{N}]{1,1000}$",
    ],
)
def test_a_pattern_that_go_takes_breaks_no_rule(pattern: str) -> None:
    assert not found_in(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(a)\1$",
        "^a++$",
        "^a{2000}$",
        "^a{2,1001}$",
        "^a{9999999999}$",
        "^a{1,9999999999}$",
        r"^\C$",
        r"^\p{Nope}$",
        "[[:nope:]]",
        "\ud800",
    ],
)
def test_a_pattern_that_go_refuses_does(pattern: str) -> None:
    assert found_in(pattern)


def found_in(pattern: str) -> list[tuple[str, str]]:
    item = json.dumps({"name": "a", "type": "text", "validation": {"regex": {"pattern": pattern}}})
    rule = RULES["config-option-invalid-regex-validator"]
    return list(rule.check(folder(options(item))))


def test_no_level_stumbles_over_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in WITH_HELM:
        monkeypatch.delitem(RULES, rule)
    assert examine(Folder(NONSENSE))


def test_the_page_counts_the_rules() -> None:
    levels = Counter(rule.level for name, rule in RULES.items() if name not in OWN)
    page = " ".join(Path("tools/docs/replicated.md").read_text().split())
    assert f"{levels['error']} rules at the level of an error, {levels['warn']} warnings" in page
    assert all(f"`{name}`" in page for name in OWN)
