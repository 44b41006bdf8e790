"""What a hub says of a repo: whose it is, and whatever else may come."""

from collections.abc import Callable
from typing import Any, cast

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.hf_api import ModelInfo

from waybill.bundle.statements import repo_of
from waybill.errors import BadValue, SourceUnreachable
from waybill.source.huggingface import HuggingFaceSource
from waybill.source.reach import Reach
from waybill.source.registry import Registry
from waybill.source.web import Web
from waybill.store.layout import RepoId

COMMIT = "c" * 40
TOLD = {"id": "Acme/Demo", "sha": COMMIT, "siblings": [], "cardData": {"license": "mit"}}


Says = Callable[[Any], None]


@pytest.fixture(autouse=True)
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Decides what the hub says of any repo, which is TOLD at first."""
    told = [cast("Any", TOLD)]
    made = cast("Callable[..., ModelInfo]", ModelInfo)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: made(**told[-1]))
    return told.append


def source(repo: str = "acme/demo") -> HuggingFaceSource:
    return HuggingFaceSource(repo, "main", endpoint="http://localhost:1")


@pytest.mark.parametrize("asked", ["Acme/Demo", "acme/demo", "demo", "Demo"])
def test_a_repo_is_called_what_the_hub_calls_the_one_that_was_asked_for(asked: str) -> None:
    assert repo_of(source(asked).origin, None) == RepoId("Acme", "Demo")


@pytest.mark.parametrize("asked", ["other/demo", "acme/other", "emo", "acme"])
def test_a_hub_that_gives_another_repo_has_to_be_told_its_name(asked: str) -> None:
    origin = source(asked).origin
    why = f"http://localhost:1 answers to {asked} as Acme/Demo: say which it is to be"
    with pytest.raises(BadValue, match=f"--as '' is not usable: {why}"):
        repo_of(origin, None)
    assert repo_of(origin, RepoId("a", "b")) == RepoId("a", "b")
    assert origin.repo == "Acme/Demo"


@pytest.mark.parametrize(
    "told",
    [
        *([], None, "x", {}, {"sha": COMMIT}, {**TOLD, "siblings": 5}, {**TOLD, "siblings": [5]}),
        *({**TOLD, "siblings": [{}]}, {**TOLD, "siblings": [{"rfilename": "a", "lfs": 5}]}),
        *({**TOLD, "siblings": [{"rfilename": "a", "size": "3"}]}, {**TOLD, "safetensors": 5}),
    ],
)
def test_what_no_hub_says_is_told_in_a_sentence(told: object, says: Says) -> None:
    says(told)
    with pytest.raises(SourceUnreachable, match=r"http://localhost:1/acme/demo cannot be read: "):
        source().files()


def test_an_answer_that_is_nested_without_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = httpx2.Response(200, content=b"[" * 200_000, request=httpx2.Request("GET", "http://h"))
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: deep.json())
    with pytest.raises(SourceUnreachable, match="is not what a hub says"):
        source().files()
    monkeypatch.setattr(Web, "ask", lambda *_: deep)
    monkeypatch.setattr(Web, "read", lambda *_: deep.content)
    with pytest.raises(SourceUnreachable, match="its token service answers with no token"):
        Registry("it", "http://h", "demo", Reach())._sign_in('Bearer realm="http://h/token"')
    monkeypatch.setattr(HuggingFaceSource, "_signatures", lambda *_: deep.content)
    hub = HuggingFaceSource("acme/demo", "main", endpoint="http://localhost:1", signed=True)
    assert hub._signed == ()


@pytest.mark.parametrize(
    ("card", "license_id"),
    [
        ({"license": "mit"}, "mit"),
        ({"license": ["mit", "apache-2.0"]}, "mit, apache-2.0"),
        (
            {"license": "other", "license_name": "x", "license_link": "https://h/x"},
            "other (x, https://h/x)",
        ),
    ],
)
def test_the_license_is_what_the_hub_says(card: object, license_id: str, says: Says) -> None:
    says({**TOLD, "cardData": card})
    assert source().origin.license == license_id


@pytest.mark.parametrize("card", [[], ["license"], "mit", 5, {"license": 5}])
def test_a_card_that_is_none_is_passed_over(card: object, says: Says) -> None:
    says({**TOLD, "cardData": card})
    assert source().origin.license is None
