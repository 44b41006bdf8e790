"""The issuers file: what it says, a sentence for each mistake, and that changes count."""

import json
import os
from pathlib import Path
from typing import Any

import jwt
import pytest

from waybill.errors import BadFile, BadValue
from waybill.hub.issuers import Cluster, Issuer, Trust, read
from waybill.hub.settings import Settings

ENTRY = {"name": "main", "issuer": "https://login.example/realms/waybill", "audience": "hub"}
CLUSTER_ISSUER = "https://kubernetes.default.svc.cluster.local"


def written(path: Path, *entries: object) -> Path:
    path.write_text(json.dumps({"issuers": entries}))
    return path


def token_of(iss: str) -> str:
    return jwt.encode({"iss": iss}, "0" * 32, "HS256")


def test_what_it_says(tmp_path: Path) -> None:
    more = {"jwksUri": "http://keys", "caBundle": "/ca.pem", "algorithms": ["PS256"]}
    other = {**ENTRY, "name": "other", "issuer": "http://other", **more}
    first, second = read(written(tmp_path / "issuers.json", {**ENTRY, "jwksUri": ""}, other))
    assert first == Issuer("main", ENTRY["issuer"], "hub")
    assert first.algorithms == ("RS256", "ES256")
    assert second == Issuer(
        "other", "http://other", "hub", "http://keys", "/ca.pem", algorithms=("PS256",)
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": None}, "issuers.0.name: None is not a string"),
        ({"audience": ""}, "issuers.0: the key 'audience' is missing"),
        ({"name": "a b"}, "issuers.0.name: 'a b' is not letters, digits and -_."),
        ({"issuer": "login.example"}, "issuers.0.issuer: it is not http://… or https://…"),
        ({"issuer": "https://u:secret@h"}, "issuers.0.issuer: it is not http://… or https://…"),
        ({"jwksUri": "file:///etc/passwd"}, "issuers.0.jwksUri: it is not http://…"),
        ({"jwks": "x"}, "issuers.0: the key 'jwks' is not known; known are: name, issuer"),
        ({"algorithms": []}, "issuers.0.algorithms: .. is not a list of names"),
        ({"algorithms": ["HS256"]}, "issuers.0.algorithms: 'HS256' is not one of RS256, "),
        ({"algorithms": ["none"]}, "issuers.0.algorithms: 'none' is not one of RS256, "),
    ],
)
def test_a_sentence_for_each_mistake(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadFile, match=why) as raised:
        read(written(tmp_path / "issuers.json", {**ENTRY, **change}))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "line 1: Expecting property name"),
        ("[]", "it must be {.issuers.: .….} with at least one issuer"),
        ('{"issuers": []}', "with at least one issuer"),
        ('{"issuers": ["x"]}', "issuers.0: 'x' is not a map"),
        ("[" * 100_000, "it is nested too deeply"),
        (json.dumps({"issuers": [ENTRY, ENTRY]}), "issuers.1.name: 'main' is there twice"),
        (
            json.dumps({"issuers": [ENTRY, {**ENTRY, "name": "b"}]}),
            "issuers.1.issuer: 'https://login.example/realms/waybill' is there twice",
        ),
    ],
)
def test_no_such_file_can_be_used(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "issuers.json"
    path.write_text(text)
    with pytest.raises(BadFile, match=why):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        read(tmp_path / "issuers.json")


def test_changes_count_and_mistakes_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "issuers.json", ENTRY)
    trust = Trust(Settings(auth="required", issuers_file=str(path)), Cluster())
    assert trust.find("http://new") is None
    # As the kubelet does it: another file takes the place of the first.
    replacement = written(tmp_path / "next.json", {**ENTRY, "issuer": "http://new"})
    replacement.replace(path)
    assert trust.find("http://new") == Issuer("main", "http://new", "hub")
    assert trust.find(ENTRY["issuer"]) is None
    path.write_text("{")
    assert [bool(trust.find("http://new")) for _ in range(3)] == [True] * 3
    assert caplog.text.count("what was read before still counts") == 1
    path.unlink()
    assert trust.find("http://new")


def test_the_cluster_is_named_by_the_own_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(token_of(CLUSTER_ISSUER) + "\n")
    cluster = Cluster("https://api", str(token), "/ca.crt")
    trust = Trust(Settings(auth="required", kubernetes_audience="hub"), cluster)
    assert trust.find(CLUSTER_ISSUER) == Issuer(
        "kubernetes",
        CLUSTER_ISSUER,
        "hub",
        "https://api/openid/v1/jwks",
        "/ca.crt",
        token_file=str(token),
    )
    token.write_text(token_of("https://moved"))
    os.utime(token, ns=(1, 1))
    assert trust.find("https://moved")


@pytest.mark.parametrize("text", [None, "no token", token_of("")[:-60]])
def test_an_own_token_that_is_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadFile, match="token cannot be used"):
        Trust(Settings(auth="required", kubernetes_audience="hub"), Cluster(token_file=str(path)))


def test_somebody_has_to_be_trusted() -> None:
    with pytest.raises(BadValue, match="needs an issuers file, a Kubernetes audience, or both"):
        Trust(Settings(auth="required"), Cluster())
