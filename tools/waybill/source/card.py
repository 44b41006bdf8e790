"""The model card: README.md with a YAML header (the Hugging Face model card format)."""

from __future__ import annotations

import re

import yaml

from waybill.files import NOT_YAML
from waybill.source.base import Source

CARD = "README.md"
_HEADER = re.compile(r"\A---\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)
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
    """`license` of the card's header, None when it does not say."""
    header = _HEADER.match(readme)
    try:
        facts = yaml.safe_load(header.group(1)) if header else None
    except NOT_YAML:
        return None
    license_id = facts.get("license") if isinstance(facts, dict) else None
    return license_id if isinstance(license_id, str) else None
