"""Every error has a sentence and a way out, and each place that raises it gives what they need."""

import ast
import inspect
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import waybill
from waybill import errors
from waybill.errors import WaybillError

PACKAGE = Path(str(waybill.__file__)).parent
EXIT_CODES = {1, 2, 3, 4, 5, 6, 7, 130}
HF_CODES = {"RepoNotFound", "GatedRepo", "RevisionNotFound", "EntryNotFound", "DisabledRepo"}
"""What huggingface_hub tells apart by the X-Error-Code header."""


def all_errors() -> list[type[WaybillError]]:
    found = [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, WaybillError) and value is not WaybillError
    ]
    return sorted(found, key=lambda error: error.__name__)


def facts_of(error: type[WaybillError]) -> set[str]:
    """The names of the facts that the sentence and the hint speak of."""
    fields = (*string.Formatter().parse(error.sentence), *string.Formatter().parse(error.hint))
    return {name for _, name, _, _ in fields if name is not None}


class Raised(NamedTuple):
    where: str
    error: type[WaybillError]
    facts: set[str]


def calls(path: Path) -> Iterator[Raised]:
    """Each place that makes one of our errors from facts that are spelled out there."""
    classes = {error.__name__: error for error in all_errors()}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
        if name in classes and all(keyword.arg for keyword in node.keywords):
            where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
            yield Raised(where, classes[name], {str(keyword.arg) for keyword in node.keywords})


@cache
def all_calls() -> list[Raised]:
    return [raised for path in sorted(PACKAGE.rglob("*.py")) for raised in calls(path)]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_an_error_has_a_sentence_a_way_out_and_known_codes(error: type[WaybillError]) -> None:
    assert error.__doc__, "say when it happens"
    assert error.sentence != WaybillError.sentence
    assert error.hint, "say what to do next"
    assert error.exit_code in EXIT_CODES
    assert 400 <= error.status <= 599
    assert error.hf_code is None or error.hf_code in HF_CODES


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_sentence_and_hint_are_plain_fragments_of_one_style(error: type[WaybillError]) -> None:
    given = {name: f"<{name}>" for name in facts_of(error)}
    made = error(**given)
    for text in (str(made), made.advice):
        assert text == text.strip()
        assert "\n" not in text
        assert not text.endswith(".")
        assert all(value in f"{made} {made.advice}" for value in given.values())
    assert made.facts == given


def test_every_place_gives_the_facts_of_sentence_and_hint() -> None:
    found = all_calls()
    assert len(found) > 30, "the scan has lost its eyes"
    lacking = {
        f"{raised.where}: {raised.error.__name__} lacks {sorted(missing)}"
        for raised in found
        if (missing := facts_of(raised.error) - raised.facts)
    }
    assert not lacking


def test_every_place_gives_no_fact_that_nobody_is_told() -> None:
    surplus = {
        f"{raised.where}: {raised.error.__name__} does not speak of {sorted(more)}"
        for raised in all_calls()
        if (more := raised.facts - facts_of(raised.error))
    }
    assert not surplus


def test_every_error_is_raised_somewhere() -> None:
    used = {raised.error for raised in all_calls()}
    bare = {error for error in all_errors() if not facts_of(error)}
    assert {error.__name__ for error in set(all_errors()) - used - bare} == set()


def test_exit_codes_are_those_that_the_module_documents() -> None:
    documented = errors.__doc__ or ""
    for error in all_errors():
        assert f" {error.exit_code} " in documented.replace(",", " ").replace("\n", " ")


def test_what_can_be_tried_again_says_so_by_its_exit_code() -> None:
    assert errors.StoreUnreachable.exit_code == errors.RefMoved.exit_code == 7
    assert errors.SourceUnreachable.exit_code == 7
    assert errors.Interrupted.exit_code == 130
    assert errors.Corrupt.exit_code == errors.BlobMissing.exit_code == 4


def test_hugging_face_clients_are_told_what_is_missing() -> None:
    for error in (errors.RepoNotFound, errors.RevisionNotFound, errors.EntryNotFound):
        assert (error.status, error.hf_code) == (404, error.__name__)


def test_values_are_never_taken_for_templates() -> None:
    error = errors.BadValue(what="{what} {0} {hint!r}", value="{", why="}")
    assert str(error) == "{what} {0} {hint!r} '{' is not usable: }"
    assert "{what} {0} {hint!r}" in error.advice
