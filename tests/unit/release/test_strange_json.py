"""JSON that canonical JSON cannot say, wherever it comes in: a sentence, and never a traceback."""

import json
from pathlib import Path

import pytest

from tests.unit.release.site import Site
from tests.unit.release.test_apply import saved
from tests.unit.release.test_gates import script
from tests.unit.release.world import REPO
from tests.unit.sign.making import manifest, said, signer
from waybill.deliver import values
from waybill.errors import BadFile
from waybill.manifest import STATEMENT_TYPE
from waybill.release.gates.case import Result
from waybill.release.plan import PLAN_TYPE, Plan
from waybill.sign import dsse
from waybill.sign.statements import Statement, license_statement

STRANGE = ("1e400", "NaN", "9007199254740993", r'"\ud800"', r'{"\udfff": 1}')


@pytest.mark.parametrize("text", STRANGE)
@pytest.mark.parametrize("part", ["plan", "before"])
def test_plan_with_it_is_refused(site: Site, text: str, part: str) -> None:
    saved(site)
    path = site.project.parent / "plan.json"
    value = json.loads(path.read_text())
    if part == "plan":
        value["plan"]["models"]["chat"]["values"] = {"x": "HERE"}
    else:
        value["outlook"]["before"]["chat"] = {
            **{key: value["plan"]["models"]["chat"][key] for key in ("commit", "digest", "size")},
            "licenses": None,
            "signers": None,
            "values": {"x": "HERE"},
        }
    path.write_text(json.dumps(value).replace('"HERE"', text))
    with pytest.raises(BadFile, match=r"plan\.json cannot be used: ") as caught:
        Plan.load(path)
    assert "another digest" not in str(caught.value)


@pytest.mark.parametrize("text", STRANGE)
def test_plan_that_a_store_keeps_is_refused(site: Site, text: str) -> None:
    agreed = json.loads(json.dumps(site.prepare().plan.agreed))
    agreed["models"]["chat"]["values"] = {"x": "HERE"}
    store = site.world.store("test")
    digest = store.write(json.dumps(agreed).replace('"HERE"', text).encode(), PLAN_TYPE).digest
    with pytest.raises(BadFile, match=f"{digest} cannot be used: "):
        Plan.kept(store, digest)


@pytest.mark.parametrize("text", [*STRANGE, '"fine"'])
def test_custom_gate_that_says_it_gives_no_verdict(site: Site, text: str) -> None:
    answer = f'{{"result": "pass", "reason": {text}}}'
    site.policy(**script(f"print({answer!r})"))
    found = site.verdict("scan")
    if text == '"fine"':
        assert (found.result, found.reason) == (Result.PASS, "fine")
    else:
        assert (found.result, found.denies) == (Result.ERROR, True)
        assert "it printed" in found.reason
        found.reason.encode()


@pytest.mark.parametrize("text", STRANGE)
def test_statement_and_envelope_with_it_are_none(text: str) -> None:
    statement = json.loads(said(manifest()))
    statement["predicate"] = "HERE"
    with pytest.raises(BadFile, match="it is no in-toto statement"):
        Statement.parse(json.dumps(statement).replace('"HERE"', text).encode(), "x")
    envelope = json.loads(dsse.sign(said(manifest()), signer()))
    envelope["more"] = "HERE"
    with pytest.raises(BadFile, match="it is no envelope"):
        dsse.Envelope.parse(json.dumps(envelope).replace('"HERE"', text).encode(), "x")


def test_evidence_with_it_is_passed_over(site: Site) -> None:
    before, store = site.prepare().plan, site.world.store("dev")
    revision = store.manifest(REPO, site.commit())
    data = license_statement(revision, "mit")
    store.add_referrer(REPO, site.commit(), data.replace(b"MIT", rb"\ud800"), STATEMENT_TYPE)
    assert site.prepare().plan.data == before.data
    store.add_referrer(REPO, site.commit(), data, STATEMENT_TYPE)
    assert site.prepare().plan.models["chat"]["licenses"] == ["MIT"]


@pytest.mark.parametrize("text", [".inf", "9007199254740993", r'"\ud800"', "2026-11-23"])
def test_values_that_a_plan_cannot_say_are_named(site: Site, text: str) -> None:
    path = site.project / "values/test.yaml"
    path.write_text(f"global: {{models: {{chat: {{engineArgs: {{seed: {text}}}}}}}}}\n")
    told = r"values/test\.yaml cannot be used: .* engineArgs or profile of global\.models\.chat"
    with pytest.raises(BadFile, match=told):
        site.prepare()


def test_text_that_is_none_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(BadFile, match=r"report\.md cannot be used: it would hold '\\ud800'"):
        values.write(path, "a reason: \ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.md"]
