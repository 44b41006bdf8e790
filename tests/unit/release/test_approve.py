"""Whose approval counts, of what, and how often."""

from typing import Any

import pytest

from tests.unit.release.interleave import age
from tests.unit.release.site import Site
from tests.unit.release.test_gates import approved
from tests.unit.release.test_prune import prune
from tests.unit.release.world import REPO
from tests.unit.sign.making import Authority, certificate_pem, certified
from waybill.release import approve
from waybill.store import layout


def test_approval_counts_once_for_each_key_and_never_for_ones_own(site: Site) -> None:
    site.policy(approvals={"count": 2, "of": ["alice", "bob"]})
    approved(site, "alice", "alice")
    approved(site, "alice", "somebody else")
    assert "1 of 2 have approved" in site.verdict("approvals").reason
    approved(site, "ci", "ci")
    assert site.verdict("approvals").result == "fail"
    approved(site, "bob", "bob")
    assert site.verdict("approvals").result == "pass"


@pytest.mark.parametrize(
    ("key", "by", "counts", "own"),
    [
        ("alice", "alice", ["alice"], []),
        ("alice", "planner", [], ["alice"]),
        ("bob", "b", [], ["bob"]),
        ("ci", "ci", [], []),
    ],
)
def test_approver_is_told_whether_it_counts(
    site: Site, key: str, by: str, counts: list[str], own: list[str]
) -> None:
    """As the gate will say: neither the planner's name nor a key of that name."""
    site.policy(approvals={"count": 1, "of": ["alice", "bob"]})
    planner = "bob" if key == "bob" else "planner"
    plan = site.prepare(by=planner).plan
    taken = site.take(plan, by=by)
    assert approve.counts_as(taken, site.keys[key]) == (counts, own)
    site.approve(plan, key, by)
    found = site.verdict("approvals", site.take(plan, by="pipeline"))
    assert (found.result == "pass") is bool(counts)


def test_approver_is_told_what_denies(site: Site) -> None:
    site.policy(repos=["other/*"], approvals={"count": 1, "of": ["alice"]})
    (found,) = approve.objections(site.prepare())
    assert (found.gate, found.model) == ("repo", "chat")


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ({"by": "alice"}, "the name of a key"),
        ({"by": "carol"}, "the name in the approval"),
        ({"by": "dave", "signer": "alice"}, "the key itself"),
    ],
)
def test_whoever_promotes_does_not_approve(site: Site, person: dict[str, Any], why: str) -> None:
    """Not by name, nor by the name given in the approval, nor by the key that signs."""
    site.policy(approvals={"count": 1, "of": ["alice", "bob"]})
    plan = site.prepare(by="planner").plan
    said = "carol" if why == "the name in the approval" else "a person"
    site.approve(plan, "alice", said)
    assert site.verdict("approvals", site.take(plan, by="dave")).result == "pass"
    given = {**person, **({"signer": site.keys["alice"]} if "signer" in person else {})}
    found = site.verdict("approvals", site.take(plan, **given))
    assert found.result == "fail", why
    assert "not counted, as the promotion is their own: alice" in found.reason


def test_identity_of_a_pipeline_approves_by_its_certificate(site: Site) -> None:
    authority = Authority()
    pem = certificate_pem(authority.certificate)
    site.more = {"pipeline": {"certificateAuthority": pem, "subjects": ["CN=gitlab release"]}}
    site.trust()
    site.policy(approvals={"count": 1, "of": ["alice", "pipeline"]})
    plan = site.prepare().plan
    for name, result in (("gitlab test", "fail"), ("gitlab release", "pass")):
        made = certified(authority, name)
        site.approve(plan, made, name)
        assert site.verdict("approvals", site.take(plan)).result == result


def test_who_made_the_plan_does_not_approve_it_for_others(site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice", "bob"]})
    plan = site.prepare(by="alice").plan
    site.approve(plan, "alice", "a")
    assert site.verdict("approvals", site.take(plan, by="pipeline")).result == "fail"


def test_approval_of_another_plan_does_not_count(site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    approved(site)
    world = site.world
    world.pin("dev", world.revision("dev", 3).commit)
    assert site.verdict("approvals").result == "fail"
    world.pin("dev", world.revision("dev", 2).commit)
    assert site.verdict("approvals").result == "fail", "the record behind it is another one"


def test_approval_waits_for_its_plan_and_is_pruned_when_that_never_comes(site: Site) -> None:
    site.policy(approvals={"count": 1, "of": ["alice"]})
    approved(site)
    store, place = site.world.store("test"), layout.referrers(REPO, site.commit())
    for _ in range(2):
        prune(store)
    assert site.verdict("approvals").result == "pass"
    age(site.project / "stores/test")
    for left in (2, 0):
        prune(store)
        assert len(list(store.backend.list(place))) == left
    assert site.verdict("approvals").result == "fail"
