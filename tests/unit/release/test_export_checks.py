"""What the checks of an export find where it was tampered with, and say of a clean one."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.test_plan_commands import policed, run, site
from tests.unit.release.site import Site
from tests.unit.release.test_chain import audit, changed, complaints
from tests.unit.release.test_chain_links import audited
from tests.unit.release.test_replay import Carry, Side, carry, inside, outside
from tests.unit.release.world import REPO, trust_in
from waybill import digest as digests
from waybill.store import layout
from waybill.store.layout import Ref

__all__ = ["audited", "carry", "inside", "outside", "policed", "run", "site"]  # Fixtures.


@pytest.fixture
def crossed(outside: Side, inside: Side, tmp_path: Path) -> Path:
    """The export inside of what came to test outside, and to prod by a bundle."""
    for one in (outside, inside):
        trust_in(one.world.project, ["prod"], "values/trust.yaml")
    commit = outside.world.revision("dev", 1).commit
    outside.world.pin("dev", commit)
    for source, target in (("dev", "test"), ("test", "prod")):
        plan = tmp_path / f"{target}.json"
        outside.run("plan", "--from", source, "--to", target, "--out", plan)
        outside.run("apply", plan, "--why", "good", "--key", outside.key)
    stored = f"store+file://{outside.world.project}/stores/prod#{REPO}@{commit}"
    bundle = tmp_path / "bundle"
    outside.run("pack", stored, "--out", bundle, "--plan", plan, "--key", outside.key)
    inside.run("sideload", bundle, "--to", "prod")
    inside.run("apply", bundle)
    inside.run("evidence", "chat", "--env", "prod", "--out", tmp_path / "audit")
    return tmp_path / "audit"


def summed(folder: Path) -> Path:
    """Whoever changes a file changes the sums, too."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    sums = [
        f"{digests.hex_of(digests.of(path.read_bytes()))}  {path.relative_to(folder)}\n"
        for path in sorted(files)
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def notes(folder: Path) -> list[str]:
    return [line for line in audit(folder).splitlines() if line.startswith("note: ")]


def test_a_plan_that_never_crossed_is_a_note_and_no_complaint(crossed: Path) -> None:
    assert complaints(crossed) == []
    (said,) = [line for line in notes(crossed) if "not here" in line]
    assert said.endswith(
        "-promotion.json names: it was pruned, or stayed on the other side of a gap"
    )


def carried_out(inside: Side) -> dict[str, bool | None]:
    """What is said of promotions, by their targets."""
    told = inside.run("evidence", "chat", "--env", "prod")
    return {
        one["predicate"]["to"]: one["carriedOut"]
        for one in told["evidence"]
        if one["predicateType"].endswith("promotion/v1")
    }


@pytest.mark.usefixtures("crossed")
def test_steps_that_were_told_from_the_other_side_are_steps(inside: Side) -> None:
    assert carried_out(inside) == {"test": True, "prod": True}


def test_of_a_target_that_never_had_it_nothing_is_said(crossed: Path, inside: Side) -> None:
    """What came without the history that tells of it may well have been carried out."""
    (history,) = crossed.glob("statements/*-history.dsse")
    store = inside.world.store("prod")
    digest = digests.of(history.read_bytes())
    store.backend.delete(layout.blob(digest), math.inf)
    assert carried_out(inside) == {"test": None, "prod": True}


def without(pattern: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    return act


def earlier(folder: Path) -> None:
    """`newest` names a step that does not lead to the one that was."""
    (records,) = folder.glob("records/prod/chat")
    (step,) = records.glob("*.json")
    old = json.loads(step.read_bytes())
    data = json.dumps({**old, "why": "an earlier one"}).encode()
    name = digests.hex_of(digests.of(data))
    (records / f"{name}.json").write_bytes(data)
    (records / "newest").write_text(f"{name}\n")


def gone(folder: Path) -> None:
    earlier(folder)
    (newest,) = folder.glob("records/prod/chat/newest")
    for step in newest.parent.glob("*.json"):
        if step.stem != newest.read_text().strip():
            step.unlink()


def made_up(folder: Path) -> None:
    """Of a step that no signed history tells."""
    (step,) = folder.glob("records/prod/chat/*.json")
    data = step.read_bytes().replace(b"good", b"evil")
    (folder / f"carried/{digests.hex_of(digests.of(data))}.json").write_bytes(data)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (without("statements/*-history.*.sig"), "signature is missing"),
        (without("statements/*-history.pae"), "signature is missing"),
        (without("statements/*-history.*"), "left out: statement "),
        (earlier, "not behind the newest step: records/prod/chat/"),
        (gone, "not in records/prod/chat, and a signed history tells of it: carried/"),
        (made_up, "in no signed history: carried/"),
    ],
)
def test_what_was_taken_away_or_put_in_is_found(
    crossed: Path, act: Callable[[Path], None], said: str
) -> None:
    act(crossed)
    assert any(said in line for line in complaints(summed(crossed)))


def test_what_nobody_has_signed_is_listed_also_when_it_was_edited(crossed: Path) -> None:
    """Here it is who made the promotion inside, without a key."""
    promotions = crossed.glob("statements/*-promotion.json")
    (said,) = [path for path in promotions if not path.with_suffix(".pae").exists()]
    changed(said, b'"by":"', b'"by":"not ')
    assert f"note: nobody has signed: {said.relative_to(crossed)}" in notes(summed(crossed))


def test_the_newest_step_is_shown_to_be_compared_with_the_store(audited: Path, site: Site) -> None:
    """A step that was put on top cannot be told from a true one by the folder."""
    head = site.world.store("test").head(REPO, Ref.pin("test", "chat"))
    assert head is not None
    shown = "note: compare with the store: records/test/chat ends with "
    assert f"{shown}{head.digest}" in notes(audited)
    newest = audited / "records/test/chat/newest"
    data = (newest.parent / f"{digests.hex_of(head.digest)}.json").read_bytes()
    forged = data.replace(
        json.dumps(head.record.previous).encode(), json.dumps(head.digest).encode()
    )
    name = digests.hex_of(digests.of(forged))
    (newest.parent / f"{name}.json").write_bytes(forged)
    newest.write_text(f"{name}\n")
    assert f"{shown}sha256:{name}" in notes(summed(audited))


def test_a_side_that_went_its_own_way_is_a_note(inside: Side, carry: Carry, tmp_path: Path) -> None:
    for number in (1, 2):
        inside.run("apply", carry(number))
    inside.world.rollback("test")
    inside.run("apply", carry(3))
    inside.run("evidence", "chat", "--env", "test", "--out", tmp_path / "audit")
    assert complaints(tmp_path / "audit") == []
    assert any("went its own way" in line for line in notes(tmp_path / "audit"))
