"""What is said after packing keeps its shape, and what does not have it is refused."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from waybill import digest as digests
from waybill.errors import BadFile
from waybill.sign import predicates
from waybill.sign.predicates import Approval, Health, History, Outcome, Predicate, Promotion, Trial

AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
PLAN = digests.of(b"a plan")
SAID: list[Predicate] = [
    Trial("smoke", "test", "chat", AT, Outcome.PASSED, ("one",), measured={"p95": 0.5}),
    Health("test", "chat", "a" * 40, AT, AT + timedelta(hours=1), 9, 1, {"p50": 0.1}, 2),
    Health("test", "chat", "a" * 40, AT, AT, 0, 0, {}, 0, "no engine is ready"),
    Approval(PLAN, "test", "prod", AT, "Ann"),
    Promotion(PLAN, "test", "prod", AT, "Ann", "chat", "it is good"),
    History("prod", "chat", {"from": "test"}, ({"commit": "a" * 40},), ({"by": "Ann"},)),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_what_is_written_is_read_again(said: Predicate) -> None:
    assert predicates.parse(said.TYPE, said.as_json(), "here") == said


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_fields_of_others_are_passed_over(said: Predicate) -> None:
    assert predicates.parse(said.TYPE, {**said.as_json(), "more": [1]}, "here") == said


@pytest.mark.parametrize(
    ("said", "key"), [(said, key) for said in SAID for key in said.SCHEMA["required"]]
)
def test_without_a_field_or_with_one_of_another_kind_it_is_refused(
    said: Predicate, key: str
) -> None:
    whole = said.as_json()
    lacking = {name: value for name, value in whole.items() if name != key}
    wrong: list[Any] = [lacking, {**whole, key: None}, [], None, "text"]
    for broken in wrong:
        with pytest.raises(BadFile, match=f"^here cannot be used: {said.TYPE}"):
            predicates.parse(said.TYPE, broken, "here")


@pytest.mark.parametrize("at", ["yesterday", "2026-03-29T01:30:00", "2026-03-29T01:30:00 Europe"])
def test_a_time_needs_its_zone(at: str) -> None:
    with pytest.raises(BadFile, match=r"time|isoformat"):
        predicates.parse(Approval.TYPE, {**SAID[3].as_json(), "at": at}, "here")


def test_times_are_compared_in_utc() -> None:
    east = AT.astimezone(timezone(timedelta(hours=2)))
    assert predicates.stamp(east) == "2026-03-29T01:30:00Z"
    assert predicates.moment("2026-03-29T03:30:00+02:00") == AT


def test_the_result_is_in_the_words_of_the_predicate() -> None:
    value: dict[str, Any] = SAID[0].as_json()
    assert value["result"] == "PASSED"
    with pytest.raises(BadFile, match=r"\$\.result"):
        predicates.parse(Trial.TYPE, {**value, "result": "passed"}, "here")


def test_types_of_others_are_not_read() -> None:
    assert predicates.parse("https://example.com/evaluation/v1", {}, "here") is None
