"""Credentials of registries from Docker's configuration, and from its helpers."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from waybill.errors import BadFile
from waybill.source.docker_config import Login, login_for

Config = Callable[[object], None]
AUTH = base64.b64encode(b"robot:pass:word").decode()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        (tmp_path / "config.json").write_text(text)

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A real program, as Docker calls it."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, script: str) -> None:
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.mark.usefixtures("config")
def test_without_a_file_nothing_is_known() -> None:
    assert login_for("host:5000") is None


def test_without_docker_config_it_is_in_the_home(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".docker").mkdir()
    config({"auths": {"host": {"auth": AUTH}}})
    (tmp_path / "config.json").rename(tmp_path / ".docker" / "config.json")
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert login_for("host") == Login("robot", "pass:word")


@pytest.mark.parametrize("name", ["host:5000", "https://host:5000", "https://host:5000/v1/"])
def test_a_registry_is_found_however_it_is_written(name: str, config: Config) -> None:
    config({"auths": {"other": {"auth": "eDp5"}, name: {"auth": AUTH}}})
    assert login_for("host:5000") == Login("robot", "pass:word")
    assert login_for("host") is None


def test_docker_hub_goes_by_its_old_name(config: Config) -> None:
    config({"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}})
    assert login_for("registry-1.docker.io") == Login("robot", "pass:word")


def test_a_name_with_a_password_and_an_identity_token_are_read(config: Config) -> None:
    config({"auths": {"a": {"username": "u", "password": "p"}, "b": {"identitytoken": "t"}}})
    assert (login_for("a"), login_for("b")) == (Login("u", "p"), Login(identity_token="t"))


def test_a_helper_is_asked_for_the_registry(
    config: Config, helper: Callable[[str, str], None]
) -> None:
    helper("mine", """read host; echo "{\\"Username\\": \\"u@$host\\", \\"Secret\\": \\"s\\"}" """)
    helper("token", """echo '{"Username": "<token>", "Secret": "t"}'""")
    helper("empty", "echo 'credentials not found in native keychain'; exit 1")
    config({"credHelpers": {"a": "mine", "b": "token", "c": "empty"}, "credsStore": "mine"})
    assert login_for("a") == Login("u@a", "s")
    assert login_for("b") == Login(identity_token="t")
    assert login_for("c") is None
    assert login_for("d") == Login("u@d", "s")


@pytest.mark.parametrize(
    "value",
    [
        "{",
        {"auths": ["x"]},
        {"auths": {"host": {"auth": "%"}}},
        {"auths": {"host": "x"}},
        {"credHelpers": {"host": "../../bin/sh"}},
        {"credHelpers": {"host": "nobody-has-this"}},
    ],
)
def test_what_is_no_configuration_is_told_without_its_content(
    value: object, config: Config
) -> None:
    config(value)
    with pytest.raises(BadFile, match=r"config\.json cannot be used"):
        login_for("host")
