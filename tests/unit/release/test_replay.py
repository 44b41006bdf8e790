"""A promotion crosses the gap in a bundle, is judged on the other side, and told the same there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.printed import printed
from tests.unit.release.world import OTHER, REPO, World, new_world, trust_in
from tests.unit.sign.making import ed25519_key, policy_file, public_pem, write_key
from waybill.bundle.media import Bundle
from waybill.cli.main import main
from waybill.deliver import pins
from waybill.manifest import statement
from waybill.release.evidence import Evidence, gather
from waybill.release.plan import PLAN_TYPE
from waybill.sign.keys import Signer
from waybill.sign.predicates import History
from waybill.store import evidence, layout
from waybill.store.layout import Ref

POLICY = """\
steps:
  test: {evaluations: {smoke: {signedBy: [release]}}}
"""


@dataclass(frozen=True)
class Side:
    """One side of the gap, with its own project and stores."""

    world: World
    key: Path
    capfd: pytest.CaptureFixture[str]

    def run(self, *words: object, code: int = 0) -> dict[str, Any]:
        self.capfd.readouterr()
        given = [*words, "--project", self.world.project, "--json"]
        behind = list(words)[words.index("--") :] if "--" in words else []
        if behind:
            given = [
                *words[: words.index("--")],
                "--project",
                self.world.project,
                "--json",
                *behind,
            ]
        found = main([str(word) for word in given])
        told = self.capfd.readouterr()
        assert found == code, told.err
        value = printed(told.out)
        return value.get("result") or value["error"]  # type: ignore[no-any-return]

    def history(self, model: str = "chat", repo: Any = REPO) -> list[str]:
        store = self.world.store("test")
        return [head.digest for head in store.chain(store.head(repo, Ref.pin("test", model)))]


def side(folder: Path, keys: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> Side:
    """Both trust the key of the release; the other side asks for a smoke evaluation."""
    new_world(folder)
    known = {
        name: {"publicKey": public_pem(Signer.load(key).private)} for name, key in keys.items()
    }
    policy_file(folder / "values/trust.yaml", keys=known, default={"unsigned": "allow"})
    trust_in(folder, ["test"], "values/trust.yaml")
    return Side(World(folder), keys["release"], capfd)


@pytest.fixture
def outside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Side:
    key = write_key(tmp_path / "release.pem", ed25519_key())
    return side(tmp_path / "outside", {"release": key}, capfd)


@pytest.fixture
def inside(tmp_path: Path, outside: Side, capfd: pytest.CaptureFixture[str]) -> Side:
    found = side(tmp_path / "inside", {"release": outside.key}, capfd)
    (found.world.project / "values/policy.yaml").write_text(POLICY)
    return found


Carry = Callable[..., Path]


@pytest.fixture
def carry(outside: Side, inside: Side, tmp_path: Path) -> Carry:
    """Promote revision `number` outside, pack it, and load the bundle inside; its directory."""

    def run(number: int, *, tested: bool = True, base: Path | None = None) -> Path:
        plan, bundle = tmp_path / f"plan-{number}.json", tmp_path / f"bundle-{number}"
        commit = outside.world.revision("dev", number).commit
        outside.world.pin("dev", commit)
        if tested:
            test = ("attest", "chat", "--env", "dev", "--name", "smoke", "--key", outside.key)
            outside.run(*test, "--", "true")
        outside.run("plan", "--from", "dev", "--to", "test", "--out", plan)
        outside.run("apply", plan, "--why", f"number {number}", "--key", outside.key)
        source = f"store+file://{outside.world.project}/stores/test#{REPO}@{commit}"
        words = ("pack", source, "--out", bundle, "--plan", plan, "--key", outside.key)
        outside.run(*words, *(("--base", base) if base else ()))
        inside.run("sideload", bundle, "--to", "test")
        return bundle

    return run


def test_both_sides_tell_the_same_history(outside: Side, inside: Side, carry: Carry) -> None:
    bundle = carry(1)
    told = inside.run("apply", bundle)
    assert inside.world.stable("test") == outside.world.stable("test")
    assert inside.history() == outside.history() != []
    assert told["signedBy"] == {"chat": ["release"]} and told["parted"] == []
    mine, theirs = (
        one.run("history", "chat", "--env", "test")["environments"] for one in (inside, outside)
    )
    assert mine == theirs and mine["test"][0]["why"] == "number 1"
    assert mine["test"][0]["plan"] == told["plan"] and mine["test"][0]["evidence"]


def test_the_plan_and_its_evidence_lie_inside_as_well(inside: Side, carry: Carry) -> None:
    told = inside.run("apply", carry(1))
    store, commit = inside.world.store("test"), str(inside.world.stable("test"))
    assert told["plan"] in [
        one.digest for one in store.referrers(REPO, commit) if one.media_type == PLAN_TYPE
    ]
    known = {one.digest for one in gather(store, REPO, commit, None)}
    assert known.issuperset(inside.world.records("test")[0].evidence)


def test_again_changes_nothing(inside: Side, carry: Carry) -> None:
    bundle = carry(1)
    inside.run("apply", bundle)
    before = inside.history(), inside.world["test"].pins_path.read_bytes()
    assert inside.run("apply", bundle)["models"][0]["changes"] is False
    assert (inside.history(), inside.world["test"].pins_path.read_bytes()) == before


def test_a_delta_brings_the_evidence_and_the_next_step(
    outside: Side, inside: Side, carry: Carry
) -> None:
    first = carry(1)
    inside.run("apply", first)
    inside.run("apply", carry(2, base=first))
    assert inside.history() == outside.history() and len(inside.history()) == 2
    commit = str(inside.world.stable("test"))
    said = gather(inside.world.store("test"), REPO, commit, None)
    assert "https://in-toto.io/attestation/test-result/v0.1" in [one.predicate_type for one in said]


def test_steps_that_were_left_out_come_with_the_last(
    outside: Side, inside: Side, carry: Carry
) -> None:
    carry(1)
    inside.run("apply", carry(2))
    assert inside.history() == outside.history() and len(inside.history()) == 2


def test_an_older_medium_does_not_roll_back(inside: Side, carry: Carry) -> None:
    first = carry(1)
    inside.run("apply", first)
    inside.run("apply", carry(2, base=first))
    before = inside.history(), inside.world["test"].pins_path.read_bytes()
    told = inside.run("apply", first, code=7)
    assert "test has moved chat on since the plan sha256:" in told["message"]
    assert (inside.history(), inside.world["test"].pins_path.read_bytes()) == before


def test_rollback_goes_where_this_side_has_been(inside: Side, carry: Carry) -> None:
    """The medium between was never applied here; its step is in the history all the same."""
    inside.run("apply", carry(1))
    ours = inside.world.stable("test")
    carry(2)
    inside.run("apply", carry(3))
    inside.run("rollback", "test", "chat", "--why", "bad")
    assert inside.world.stable("test") == ours


def test_a_dry_run_changes_nothing(inside: Side, carry: Carry) -> None:
    bundle = carry(1)
    assert inside.run("apply", bundle, "--dry-run")["models"][0]["changes"] is True
    assert inside.history() == [] and inside.world.stable("test") is None


def test_the_policy_of_this_side_decides(inside: Side, carry: Carry) -> None:
    bundle = carry(1, tested=False)
    told = inside.run("apply", bundle, code=3)
    assert "smoke" in told["message"] and inside.history() == []


def test_what_was_cut_off_is_finished_by_the_same_command(
    outside: Side, inside: Side, carry: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = carry(1)
    with monkeypatch.context() as patch:
        patch.setattr(pins, "update", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        inside.run("apply", bundle, code=130)
    assert inside.history() == outside.history() and inside.world.stable("test") is None
    inside.run("apply", bundle)
    assert inside.world.stable("test") == outside.world.stable("test")
    assert inside.history() == outside.history()


def test_a_side_that_went_its_own_way_goes_on_from_there(
    outside: Side, inside: Side, carry: Carry
) -> None:
    first = carry(1)
    inside.run("apply", first)
    own = inside.world.revision("test", 7).commit
    inside.world.pin("test", own)
    told = inside.run("apply", carry(2, base=first))
    assert told["parted"] == ["chat"]
    assert inside.world.stable("test") == outside.world.stable("test")
    newest, before = inside.world.records("test")[:2]
    assert (newest.plan, newest.why, before.commit) == (told["plan"], "number 2", own)


def test_an_older_medium_does_not_roll_back_where_sides_have_parted(
    inside: Side, carry: Carry
) -> None:
    """It was never applied here, and the newer one left a record of our own."""
    inside.world.pin("test", inside.world.revision("test", 7).commit)
    first = carry(1)
    inside.run("apply", carry(2, base=first))
    before = inside.history(), inside.world["test"].pins_path.read_bytes()
    told = inside.run("apply", first, code=7)
    assert "test has moved chat on since the plan sha256:" in told["message"]
    inside.world.pin("test", inside.world.revision("test", 8).commit)
    assert inside.run("apply", first, code=7)["message"] == told["message"]
    assert inside.history()[1:] == before[0]


def test_without_a_key_that_is_known_here_nothing_is_believed(
    inside: Side, carry: Carry, tmp_path: Path
) -> None:
    bundle = carry(1)
    other = {"release": {"publicKey": public_pem(ed25519_key())}}
    policy_file(
        inside.world.project / "values/trust.yaml", keys=other, default={"unsigned": "allow"}
    )
    told = inside.run("apply", bundle, code=3)
    assert "no signed history" in told["message"] and inside.history() == []
    assert tmp_path.exists()


def test_a_bundle_that_was_not_loaded_is_told(inside: Side, outside: Side, tmp_path: Path) -> None:
    commit = outside.world.revision("dev", 1).commit
    source = f"store+file://{outside.world.project}/stores/dev#{REPO}@{commit}"
    outside.run("pack", source, "--out", tmp_path / "b")
    assert "brings no promotion" in inside.run("apply", tmp_path / "b", code=3)["message"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda steps: steps[1:], "its last step is of another plan"),
        (lambda steps: steps[:1], "it has no beginning"),
        (
            lambda steps: [steps[0], {**steps[1], "by": "eve"}],
            "a step is not the one that is named",
        ),
        (lambda steps: [{**steps[0], "commit": "f" * 40}, steps[1]], "is another revision"),
        (lambda steps: [{"no": "record"}, *steps], "has not the form of one"),
        (lambda steps: [{**steps[0], "ref": "pins/prod.chat.stable"}], "is of another model"),
    ],
)
def test_a_history_that_is_not_whole_is_refused(
    outside: Side,
    inside: Side,
    carry: Carry,
    tmp_path: Path,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    why: str,
) -> None:
    """Even one that a trusted key has signed."""
    carry(1)
    right = history_of(inside, carry(2))
    records = tuple(change([dict(one) for one in right.records]))
    bundle = telling(outside, inside, replace(right, records=records), tmp_path)
    told = inside.run("apply", bundle, code=4)
    assert why in told["message"] and inside.history() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda steps: steps[1:], "are not those that the plan was made from"),
        (lambda steps: [steps[0], {**steps[1], "at": "2020-01-01T00:00:00Z"}], "that is named"),
        (lambda steps: [{**steps[0], "ref": "pins/prod.chat.stable"}], "of another model"),
    ],
)
def test_past_that_is_not_that_of_the_plan_is_refused(
    outside: Side,
    inside: Side,
    carry: Carry,
    tmp_path: Path,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    why: str,
) -> None:
    outside.world.pin("dev", outside.world.revision("dev", 1).commit)
    held(outside)
    right = history_of(inside, carry(1))
    assert len(right.before) == 3
    before = tuple(change([dict(one) for one in right.before]))
    bundle = telling(outside, inside, replace(right, before=before), tmp_path)
    told = inside.run("apply", bundle, code=4)
    assert why in told["message"] and inside.history() == []


def held(outside: Side) -> None:
    """Two steps more in dev, at the same commit."""
    store, ref = outside.world.store("dev"), Ref.pin("dev", "chat")
    for hold in (True, False):
        head = store.head(REPO, ref)
        assert head
        store.move(REPO, ref, head.commit, expected=head, by="a", why="b", hold=hold)


def said_of(side: Side, bundle: Path) -> list[Evidence]:
    """All that is said on this side of the revision in the bundle."""
    (revision,) = Bundle.open([bundle]).index.revisions
    store, policy = side.world.store("test"), side.world["test"].policy()
    return gather(store, REPO, revision.manifest.commit, policy)


def history_of(side: Side, bundle: Path) -> History:
    parsed = [one.parsed for one in said_of(side, bundle)]
    (found,) = [one for one in parsed if isinstance(one, History)]
    return found


def telling(outside: Side, inside: Side, said: History, folder: Path) -> Path:
    """A bundle that was loaded and says this of the promotion, and nothing else of it."""
    commit = outside.world.stable("test")
    store, inner = outside.world.store("test"), inside.world.store("test")
    made = store.manifest(REPO, str(commit))
    for one in gather(inner, REPO, made.commit, None):
        if isinstance(one.parsed, History):
            inner.backend.delete(layout.referrer(REPO, made.commit, one.digest), float("inf"))
    data = statement(made, History.TYPE, said.as_json())
    evidence.add_signed(store, REPO, made, data, Signer.load(inside.key))
    source = f"store+file://{outside.world.project}/stores/test#{REPO}@{commit}"
    outside.run("pack", source, "--out", folder / "telling")
    inside.run("sideload", folder / "telling", "--to", "test")
    return folder / "telling"


def test_all_models_of_a_plan_have_to_be_here(
    outside: Side, inside: Side, carry: Carry, tmp_path: Path
) -> None:
    outside.world.pin("dev", outside.world.revision("dev", 4, OTHER).commit, "embed", OTHER)
    bundle = carry(1)
    told = inside.run("apply", bundle, code=2)
    assert f"there is no repo {OTHER}" in told["message"] and inside.history() == []
    commit = outside.world.stable("test", "embed")
    source = f"store+file://{outside.world.project}/stores/test#{OTHER}@{commit}"
    plan = tmp_path / "plan-1.json"
    words = ("--out", tmp_path / "second", "--plan", plan, "--key", outside.key)
    outside.run("pack", source, *words)
    inside.run("sideload", tmp_path / "second", "--to", "test")
    (inside.world.project / "values/policy.yaml").unlink()
    inside.run("apply", bundle)
    for model, repo in (("chat", REPO), ("embed", OTHER)):
        assert inside.history(model, repo) == outside.history(model, repo) != []


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "--key is needed"), (("--key", "KEY"), "was not applied to chat in test")],
)
def test_only_what_happened_here_is_brought_along(
    outside: Side, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    commit = outside.world.revision("dev", 1).commit
    outside.world.pin("dev", commit)
    plan = tmp_path / "plan.json"
    outside.run("plan", "--from", "dev", "--to", "test", "--out", plan)
    source = f"store+file://{outside.world.project}/stores/dev#{REPO}@{commit}"
    given = [str(outside.key) if word == "KEY" else word for word in words]
    told = outside.run("pack", source, "--out", tmp_path / "b", "--plan", plan, *given, code=2)
    assert said in told["message"] and not (tmp_path / "b/bundle.json").exists()


def test_evidence_alone_crosses_when_no_byte_is_new(
    outside: Side, inside: Side, carry: Carry, tmp_path: Path
) -> None:
    first = carry(1)
    commit = outside.world.stable("test")
    test = ("attest", "chat", "--env", "test", "--name", "later", "--key", outside.key)
    outside.run(*test, "--", "true")
    source = f"store+file://{outside.world.project}/stores/test#{REPO}@{commit}"
    outside.run("pack", source, "--out", tmp_path / "news", "--base", first)
    assert not list((tmp_path / "news").glob("part-*"))
    inside.run("sideload", tmp_path / "news", "--to", "test")
    said = gather(inside.world.store("test"), REPO, str(commit), None)
    assert "later" in [one.predicate.get("name") for one in said if one.signed]
