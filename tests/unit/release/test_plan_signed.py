"""Where the policy asks whose plan it is, a signature says so, and nobody approves their own."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.release.site import NAMES, Site
from tests.unit.release.test_apply import saved, tree
from tests.unit.release.test_apply_faults import approved_and_begun
from tests.unit.release.test_replay import side
from tests.unit.release.world import OTHER, REPO
from tests.unit.sign.making import (
    Authority,
    certificate_pem,
    certified,
    ed25519_key,
    signer,
    write_key,
)
from waybill import digest as digests
from waybill.errors import BadFile
from waybill.release import apply, approve
from waybill.release.plan import Plan
from waybill.sign.keys import Signer
from waybill.sign.trust import now

ASKED = {"count": 1, "of": ["alice", "bob"], "plannedBy": ["ci", "alice", "bob"]}


def made(site: Site, key: str | Signer, by: str = "x") -> Plan:
    """A plan that is signed, under any name."""
    by_key = site.keys[key] if isinstance(key, str) else key
    return approve.sign(site.prepare(by=by, signer=by_key), now()).plan


def verdict(site: Site, plan: Plan) -> Any:
    return site.verdict("approvals", site.take(plan, by="pipeline"))


def test_no_approval_counts_of_a_plan_that_nobody_has_signed(site: Site) -> None:
    site.policy(approvals=ASKED)
    plan = site.prepare(by="x").plan
    site.approve(plan, "alice")
    found = verdict(site, plan)
    told = f"none of alice, bob, ci has signed that {digests.short(plan.digest)} is their plan"
    assert (found.result, found.reason) == ("fail", f"{told}, so no approval of it counts")
    lines = (site.project / "values/policy.yaml").read_text().splitlines()
    assert '"plannedBy"' in lines[found.line - 1]


@pytest.mark.parametrize(
    ("key", "result"), [("ci", "pass"), ("watch", "fail"), ("stranger", "fail")]
)
def test_it_has_to_be_signed_by_whom_the_policy_names(site: Site, key: str, result: str) -> None:
    site.policy(approvals=ASKED)
    plan = made(site, signer() if key == "stranger" else key)
    site.approve(plan, "alice")
    assert verdict(site, plan).result == result


@pytest.mark.parametrize("asked", [ASKED, {"count": 1, "of": ["alice", "bob"]}])
def test_key_that_has_signed_a_plan_approves_it_under_no_name(
    site: Site, asked: Mapping[str, Any]
) -> None:
    site.policy(approvals=asked)
    plan = made(site, "alice", by="x")
    for name in ("alice", "y"):
        taken = site.take(plan, by=name)
        assert approve.counts_as(taken, site.keys["alice"]) == ([], ["alice"])
        site.approve(plan, "alice", name)
        found = verdict(site, plan)
        assert found.result == "fail"
        assert "not counted, as the promotion is their own: alice" in found.reason
    site.approve(plan, "bob")
    assert verdict(site, plan).result == "pass"


def test_whoever_signs_for_somebody_else_is_believed_who_that_is(site: Site) -> None:
    """A pipeline's key says whose change it is."""
    site.policy(approvals=ASKED)
    plan = made(site, "ci", by="alice")
    site.approve(plan, "alice", "a")
    assert verdict(site, plan).result == "fail"
    site.approve(plan, "bob")
    assert verdict(site, plan).result == "pass"


def test_identity_of_a_pipeline_signs_by_its_certificate(site: Site) -> None:
    authority = Authority()
    pem = certificate_pem(authority.certificate)
    site.more = {"pipeline": {"certificateAuthority": pem, "subjects": ["CN=gitlab plan"]}}
    site.trust()
    site.policy(approvals={**ASKED, "plannedBy": ["pipeline"]})
    for name, result in (("gitlab test", "fail"), ("gitlab plan", "pass")):
        plan = made(site, certified(authority, name))
        site.approve(plan, "alice")
        assert verdict(site, plan).result == result


def test_signing_writes_to_no_store_and_makes_no_other_plan(site: Site) -> None:
    site.policy(approvals=ASKED)
    before = tree(site.project)
    plan = made(site, "ci")
    assert tree(site.project) == before
    assert plan.signatures.keys() == plan.models.keys()
    assert plan.digest == site.prepare(by="x").plan.digest
    assert site.verdict("approvals", site.take(plan)).reason.startswith("0 of 1 have approved")


def test_what_need_not_be_done_is_signed_by_nobody(site: Site) -> None:
    apply.carry_out(site.prepare())
    assert not made(site, "ci").signatures


def test_what_was_begun_is_signed_by_nobody_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = approved_and_begun(site, monkeypatch)
    again = made(site, "ci", by="dave")
    assert (again.digest, again.signatures) == (plan.digest, {})


def test_approval_brings_the_signature_to_the_store_where_promote_finds_it(site: Site) -> None:
    site.policy(approvals=ASKED)
    site.approve(saved(site, made(site, "ci", by="x")), "alice")
    apply.carry_out(site.prepare(by="x"))
    assert site.world.stable("test") == site.commit()


def test_signature_that_comes_with_the_plan_alone_stands_in_the_record(site: Site) -> None:
    """Also of a plan of several models, and where the approver had a copy without it."""
    world = site.world
    world.pin("dev", world.revision("dev", 5, OTHER).commit, "embed", OTHER)
    site.policy(approvals=ASKED)
    plan = made(site, "ci")
    site.approve(replace(plan, signatures={}), "alice")
    assert verdict(site, site.prepare(by="x").plan).result == "fail"
    apply.carry_out(site.take(saved(site, plan), by="pipeline"))
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        envelope = plan.signatures[model]
        assert digests.of(envelope) in world.records("test", model, repo)[0].evidence
        assert world.store("test").read(digests.of(envelope)) == envelope


def other_plan(site: Site, signatures: dict[str, Any]) -> None:
    signatures["chat"] = json.loads(made(site, "ci", by="another").signatures["chat"])


def other_model(_: Site, signatures: dict[str, Any]) -> None:
    signatures["embed"] = signatures["chat"]


def no_envelope(_: Site, signatures: dict[str, Any]) -> None:
    signatures["chat"] = {"payload": "x"}


@pytest.mark.parametrize("edit", [other_plan, other_model, no_envelope])
def test_signature_of_something_else_is_refused(site: Site, edit: Any) -> None:
    saved(site, made(site, "ci"))
    path = site.project.parent / "plan.json"
    value = json.loads(path.read_text())
    edit(site, value["signatures"])
    path.write_text(json.dumps(value))
    with pytest.raises(BadFile, match=r"signatures\.\w+ is of something else"):
        Plan.load(path)


@pytest.mark.parametrize(("words", "code"), [(("--key", "ci.pem"), 0), ((), 3)])
def test_signature_crosses_the_gap_with_what_is_approved(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], code: int
) -> None:
    keys = {name: write_key(tmp_path / f"{name}.pem", ed25519_key()) for name in NAMES}
    outside, inside = (side(tmp_path / name, keys, capfd) for name in ("outside", "inside"))
    rules = {"steps": {"test": {"approvals": {**ASKED, "plannedBy": ["ci"]}}}}
    (inside.world.project / "values/policy.yaml").write_text(json.dumps(rules))
    plan, bundle = tmp_path / "plan.json", tmp_path / "bundle"
    commit = outside.world.revision("dev", 1).commit
    outside.world.pin("dev", commit)
    key = [str(tmp_path / word) if word.endswith(".pem") else word for word in words]
    outside.run("plan", "--from", "dev", "--to", "test", "--out", plan, "--by", "x", *key)
    outside.run("approve", plan, "--key", keys["alice"], "--by", "alice")
    outside.run("apply", plan, "--by", "pipeline")
    source = f"store+file://{outside.world.project}/stores/test#{REPO}@{commit}"
    outside.run("pack", source, "--out", bundle, "--plan", plan, "--key", outside.key)
    inside.run("sideload", bundle, "--to", "test")
    inside.run("apply", bundle, "--by", "dora", code=code)
    assert inside.world.stable("test") == (None if code else commit)
