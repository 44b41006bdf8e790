"""What `watch` says of what it saw; following itself is tested in tests/unit/release."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Waybill
from tests.unit.release.world import new_world
from tests.unit.sign.making import ed25519_key, write_key
from waybill.cli import watch
from waybill.deliver.helm import Helm
from waybill.deliver.metrics import Seen
from waybill.errors import ClusterUnreachable, StoreUnreachable, WaybillError
from waybill.release import health
from waybill.release.follow import Follower, Outcome

NEW, OLD = "a" * 40, "b" * 40
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WELL = Outcome(NEW, None, Seen(20, 1, {"p95": 0.5}), 1, NOW, NOW)
BAD = replace(WELL, back=OLD, why="12 of 20 requests failed")


@pytest.fixture
def told(tmp_path: Path, waybill: Waybill, monkeypatch: pytest.MonkeyPatch) -> Any:
    """told(OUTCOME, FLAG...) → what the command gives back, who decided, and about holds."""
    world = new_world(tmp_path / "project")
    release = (world["dev"], Helm(Path("chart"), "w", "ns"))
    monkeypatch.setattr(watch, "release_of", lambda _: release)

    def tell(outcome: Outcome | WaybillError, *flags: object) -> tuple[Any, Follower]:
        seen: list[Follower] = []

        def run(follower: Follower, *_: object) -> Outcome:
            seen.append(follower)
            if isinstance(outcome, WaybillError):
                raise outcome
            follower.said(outcome)
            if outcome.stuck:
                raise ClusterUnreachable(where="it", why=outcome.stuck)
            return outcome

        monkeypatch.setattr(Follower, "run", run)
        command = ("watch", "dev", "--model", "chat", "--by", "ops", "--project", world.project)
        return waybill(*command, *flags), seen[0]

    return tell


def test_one_that_does_well(told: Any) -> None:
    ran, follower = told(WELL)
    assert ran.code == 0
    assert ran.out == "chat: aaaaaaaa does well: 1 of 20 requests failed, first token p95 0.50 s\n"
    assert (follower.by, follower.hold) == ("ops", None), "without a policy there are no holds"


def test_one_that_nobody_has_asked_does_not_do_well(told: Any) -> None:
    ran, _ = told(replace(WELL, seen=Seen()))
    assert ran.code == 0
    assert ran.out.endswith("has all the traffic, and no request came: nobody knows how it does\n")


def test_one_that_went_back(told: Any) -> None:
    ran, _ = told(BAD)
    assert (ran.code, ran.out) == (
        3,
        "chat: aaaaaaaa went back to bbbbbbbb: 12 of 20 requests failed\n",
    )
    (result,) = told(BAD, "--json")[0].result["models"]
    assert (result["back"], result["recorded"]) == (OLD, True)


def test_what_is_not_recorded_is_said_with_the_way_to_mend_it(told: Any) -> None:
    """Also where notes are not wanted."""
    lost = replace(BAD, unrecorded="the store is down")
    ran, _ = told(lost, "--quiet")
    assert ran.code == 3
    again = f"waybill rollback dev chat --to {OLD}\n"
    assert ran.out.endswith(f"; no record says so (the store is down): {again}")
    assert told(lost, "--json")[0].result["models"][0]["recorded"] is False


def test_one_that_keeps_its_traffic(told: Any) -> None:
    """And why, and that nothing was to be recorded."""
    kept = replace(BAD, back=None, keeps="no engine of chat@bbbbbbbb is ready")
    ran, _ = told(kept)
    assert ran.code == 3
    assert "keeps its traffic, for no engine of chat@bbbbbbbb is ready: 12 of 20" in ran.out
    (result,) = told(kept, "--json")[0].result["models"]
    assert (result["keeps"], result["recorded"]) == (kept.keeps, None)


def test_a_store_of_a_single_writer_can_be_told_of(told: Any) -> None:
    assert [told(WELL, *flag)[1].single_writer for flag in ((), ("--single-writer",))] == [
        False,
        True,
    ]


def test_one_that_could_not_go_back_is_told_beside_the_error(told: Any, tmp_path: Path) -> None:
    stuck = replace(BAD, back=None, stuck="no API server")
    ran, _ = told(stuck, "--markdown", tmp_path / "report.md", "--junit", tmp_path / "report.xml")
    assert (ran.code, "no API server" in ran.err) == (7, True)
    report = (tmp_path / "report.md").read_text()
    assert "aaaaaaaa is not known to have gone back (no API server): 12 of 20" in report
    junit = (tmp_path / "report.xml").read_text()
    assert 'failures="1"' in junit and 'errors="1"' in junit


@pytest.mark.parametrize(("outcome", "code"), [(WELL, 7), (BAD, 3)])
def test_a_word_that_is_not_kept_ends_no_watch(
    told: Any, outcome: Outcome, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other models are looked at; what one of them did wrong counts for more."""

    def away(*_: object) -> None:
        raise StoreUnreachable(url="s3://x", why="it is away")

    monkeypatch.setattr(health, "attest", away)
    key = write_key(tmp_path / "key.pem", ed25519_key())
    ran, _ = told(outcome, "--model", "other", "--key", key, "--markdown", tmp_path / "report.md")
    assert ran.code == code
    report = (tmp_path / "report.md").read_text()
    assert [model in report for model in ("chat: aaa", "other: aaa")] == [True, True]
    assert report.count("no signed word says so") == 2
