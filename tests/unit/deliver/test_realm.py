"""What is filled into a realm's file, laid over what Keycloak has, and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.services import free_port
from waybill.cli.main import main
from waybill.deliver.keycloak import Administrator, Keycloak
from waybill.deliver.realm import fill, laid_over, load, provision
from waybill.errors import BadFile, BadValue, KeycloakUnreachable


def test_places_are_filled_from_the_environment() -> None:
    realm = {"clients": [{"clientId": "${ID}", "secret": "${KEY_2}"}], "days": 3}
    filled = {"clients": [{"clientId": "a", "secret": "b"}], "days": 3}
    assert fill(realm, {"ID": "a", "KEY_2": "b"}) == filled


@pytest.mark.parametrize("own", ["${role_admin}", "Hello ${NAME}", "${NAME} ${NAME}", "$NAME"])
def test_what_keycloak_fills_in_itself_stays(own: str) -> None:
    assert fill(own, {}) == own


@pytest.mark.parametrize("environment", [{}, {"KEY": ""}])
def test_a_place_without_a_value_is_refused_by_name(environment: dict[str, str]) -> None:
    with pytest.raises(BadValue, match=r"'KEY' is not usable.*not set"):
        fill({"secret": "${KEY}"}, environment)


@pytest.mark.parametrize(
    ("current", "wanted", "result"),
    [
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        (
            {"config": {"a": "1", "b": "2"}},
            {"config": {"b": "3"}},
            {"config": {"a": "1", "b": "3"}},
        ),
        ({}, {"config": {"a": "1"}}, {"config": {"a": "1"}}),
        ({"uris": ["b", "a"]}, {"uris": ["a", "b"]}, {"uris": ["b", "a"]}),
        ({"uris": ["b", "a"]}, {"uris": ["a"]}, {"uris": ["a"]}),
        ({"on": True}, {"on": False}, {"on": False}),
    ],
)
def test_what_is_wanted_wins_and_the_rest_stays(current: Any, wanted: Any, result: Any) -> None:
    assert laid_over(current, wanted) == result


@pytest.mark.parametrize(
    ("text", "why"),
    [("realm: waybill", "not JSON"), ("[]", "no realm"), ("{}", "no realm"), ("[" * 9999, "JSON")],
)
def test_a_file_that_is_no_realm_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "realm.json"
    path.write_text(text)
    with pytest.raises(BadFile, match=why):
        load(path, {})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        load(tmp_path / "realm.json", {})


def test_a_keycloak_that_does_not_come_up_is_said_once() -> None:
    notes: list[str] = []
    with (
        Keycloak(f"http://127.0.0.1:{free_port()}/", Administrator("admin", "hidden")) as keycloak,
        pytest.raises(KeycloakUnreachable, match="cannot be reached"),
    ):
        provision(keycloak, {"realm": "waybill"}, seconds=0, note=notes.append)
    assert notes == []


def test_the_password_shows_nowhere() -> None:
    assert "hidden" not in repr(Administrator("admin", "hidden"))


def test_the_command_says_which_variable_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "realm.json"
    path.write_text(json.dumps({"realm": "waybill"}))
    monkeypatch.setenv("KC_BOOTSTRAP_ADMIN_USERNAME", "admin")
    monkeypatch.delenv("KC_BOOTSTRAP_ADMIN_PASSWORD", raising=False)
    code = main(["provision", "realm", "--config", str(path), "--url", "http://127.0.0.1:1"])
    assert code == 2
    assert "KC_BOOTSTRAP_ADMIN_PASSWORD" in capsys.readouterr().err
