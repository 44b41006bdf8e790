"""The model card: README.md with a YAML header (the Hugging Face model card format)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from waybill.files import NOT_YAML
from waybill.source.base import Source

CARD = "README.md"
_HEADER = re.compile(r"\A---\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)
_OTHER = "other"
_CARD_SIZE = 1 << 20
"""Bytes of a model card that are looked at for its header."""


def license_of(source: Source) -> str | None:
    """As the source's model card tells it. Raises what the source raises."""
    for file in source.files():
        if file.path == CARD:
            with source.open(file) as stream:
                return card_license(stream.read(_CARD_SIZE).decode(errors="replace"))
    return None


def card_license(readme: str) -> str | None:
    """That of the card's header, None when it does not say."""
    header = _HEADER.match(readme)
    try:
        facts = yaml.safe_load(header.group(1)) if header else None
    except NOT_YAML:
        return None
    return license_in(facts) if isinstance(facts, dict) else None


def license_in(facts: Mapping[str, object]) -> str | None:
    """The license of a header: several as a list, `other` with its name and its link, so that it
    cannot be taken for the license whose name it bears."""
    match facts.get("license"):
        case str(one) if one.lower() == _OTHER:
            known = (facts.get("license_name"), facts.get("license_link"))
            more = ", ".join(_text(each) for each in known if isinstance(each, str))
            return f"{_OTHER} ({more})" if more else _OTHER
        case str(one):
            return _text(one) or None
        case [*several]:
            names = [_text(one) for one in several if isinstance(one, str)]
            return ", ".join(names) or None if len(names) == len(several) else None
    return None


def _text(told: str) -> str:
    """In one line, and without halves of surrogate pairs, which YAML and JSON can write."""
    return " ".join(told.encode(errors="replace").decode().split())
