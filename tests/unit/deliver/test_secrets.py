"""Missing Secrets are made; all others are looked at by the names of their keys, and left alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from waybill.deliver.secrets import PLAN, Plan, make_missing
from waybill.errors import BadFile, SecretLacksKeys

LABELS = {"app.kubernetes.io/instance": "t"}
WANTED: dict[str, dict[str, Any]] = {
    "t-root": {"USER": {"value": "waybill-root"}, "PASSWORD": {"random": 40}},
    "t-hub": {"USER": {"value": "waybill-hub"}, "PASSWORD": {"random": 32}},
}


@dataclass
class Kept:
    """Secrets in memory. `rivals` are made by somebody else just before we do."""

    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    rivals: dict[str, dict[str, str]] = field(default_factory=dict)
    about: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = field(default_factory=dict)

    def secret_keys(self, name: str) -> frozenset[str] | None:
        return frozenset(self.secrets[name]) if name in self.secrets else None

    def create_secret(
        self,
        name: str,
        data: Mapping[str, str],
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> bool:
        if name in self.rivals:
            self.secrets[name] = self.rivals[name]
        if name in self.secrets:
            return False
        self.secrets[name], self.about[name] = dict(data), (labels, annotations)
        return True


def plan(wanted: Mapping[str, Any] = WANTED) -> Plan:
    return Plan.parse(json.dumps({"labels": LABELS, "secrets": wanted}), "plan.json")


def test_what_is_missing_is_made_with_all_its_keys() -> None:
    kept = Kept()
    outcome = make_missing(plan(), kept)
    assert (outcome.made, outcome.kept) == (("t-root", "t-hub"), ())
    assert kept.secrets["t-root"]["USER"] == "waybill-root"
    passwords = [kept.secrets[name]["PASSWORD"] for name in WANTED]
    assert [len(password) for password in passwords] == [40, 32]
    assert all(password.isalnum() for password in passwords)
    assert kept.about["t-hub"] == (LABELS, {"helm.sh/resource-policy": "keep"})


def test_two_runs_give_other_passwords() -> None:
    first, second = Kept(), Kept()
    make_missing(plan(), first)
    make_missing(plan(), second)
    assert first.secrets["t-root"]["PASSWORD"] != second.secrets["t-root"]["PASSWORD"]


def test_what_is_there_stays_as_it_is() -> None:
    mine = {"USER": "me", "PASSWORD": "mine", "more": "of it"}
    kept = Kept({"t-root": dict(mine)})
    assert make_missing(plan(), kept).made == ("t-hub",)
    before = {name: dict(data) for name, data in kept.secrets.items()}
    assert make_missing(plan(), kept).kept == ("t-root", "t-hub")
    assert kept.secrets == before
    assert kept.secrets["t-root"] == mine


def test_a_dry_run_makes_nothing() -> None:
    kept = Kept({"t-hub": {"USER": "", "PASSWORD": ""}})
    assert make_missing(plan(), kept, dry_run=True).made == ("t-root",)
    assert list(kept.secrets) == ["t-hub"]


def test_an_incomplete_secret_is_named_before_anything_is_made() -> None:
    kept = Kept({"t-hub": {"USER": "me"}})
    with pytest.raises(SecretLacksKeys, match="the Secret t-hub is there, but lacks PASSWORD"):
        make_missing(plan(), kept)
    assert list(kept.secrets) == ["t-hub"]


def test_of_two_runs_at_once_one_makes_it() -> None:
    theirs = {"USER": "waybill-root", "PASSWORD": "theirs"}
    kept = Kept(rivals={"t-root": theirs})
    assert make_missing(plan(), kept).made == ("t-hub",)
    assert kept.secrets["t-root"] == theirs
    with pytest.raises(SecretLacksKeys):
        make_missing(plan(), Kept(rivals={"t-root": {"USER": "me"}}))


@pytest.mark.parametrize(
    "wanted",
    [
        {"t-root": {}},
        {"t-root": {"PASSWORD": {"random": 4}}},
        {"t-root": {"PASSWORD": {"value": "sesame", "random": 40}}},
        {"t-root": {"PASSWORD": "sesame"}},
        {"Not a name": {"PASSWORD": {"value": "sesame"}}},
    ],
)
def test_a_plan_of_another_form_is_refused_without_its_values(wanted: Mapping[str, Any]) -> None:
    with pytest.raises(BadFile, match="not as a plan of Secrets has it") as refused:
        plan(wanted)
    assert "sesame" not in str(refused.value)


def test_a_plan_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadFile, match=r"plan\.json cannot be used: it is no JSON"):
        Plan.parse("sesame", "plan.json")


def test_the_plan_is_found_among_the_objects_of_the_chart() -> None:
    text = json.dumps({"labels": LABELS, "secrets": WANTED})
    objects: list[dict[str, Any]] = [
        {"kind": "Secret"},
        {"kind": "ConfigMap"},
        {"kind": "ConfigMap", "data": {PLAN: text}},
    ]
    assert Plan.among(objects) == plan()
    assert Plan.among(objects[:2]).secrets == {}
