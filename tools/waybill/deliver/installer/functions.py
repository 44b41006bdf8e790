"""Replicated's template functions in the words of Helm: the tables are in functions.yaml."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from waybill.deliver.installer.sources import document

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_KEPT = re.compile(r"\0(\d+)\0")
_NAME = re.compile(r"(?<![\w.$])[A-Z]\w*")
_ARGUMENT = r"(\0\d+\0|[\w$.]+|\((?:[^()]|\([^()]*\))*\))"
"""A text that is kept, a word, or what stands in brackets, twice nested at most."""


def in_helms_words(expression: str) -> str:
    """What stands between the braces; its texts are left alone, and so is what nobody knows."""
    texts: list[str] = []

    def kept(found: re.Match[str]) -> str:
        texts.append(found[0])
        return f"\0{len(texts) - 1}\0"

    expression = _TEXT.sub(kept, expression)
    for call, ours in _calls():
        expression = call.sub(ours, expression)
    expression = _NAME.sub(lambda found: _names().get(found[0], found[0]), expression)
    return _KEPT.sub(lambda found: texts[int(found[1])], expression)


@cache
def _table() -> Any:
    return document("functions")


@cache
def _names() -> dict[str, str]:
    return {name: ours for ours, names in _table()["names"].items() for name in names}


@cache
def _calls() -> list[tuple[re.Pattern[str], str]]:
    return [(_pattern(call), _filled(ours)) for call, ours in _table()["calls"]]


def _pattern(call: str) -> re.Pattern[str]:
    spaced = call.replace(" ", r"\s+").replace("ARG", _ARGUMENT)
    return re.compile(rf"\b{spaced}(?![\w.])")


def _filled(ours: str) -> str:
    for word in ("PROXY", "PATH"):
        ours = ours.replace(word, _table()[word])
    return ours
