"""The model card: README.md with a YAML header (the Hugging Face model card format)."""

from __future__ import annotations

import re

import yaml

CARD = "README.md"
_HEADER = re.compile(r"\A---\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)


def card_license(readme: str) -> str | None:
    """`license` of the card's header, None when it does not say."""
    header = _HEADER.match(readme)
    try:
        facts = yaml.safe_load(header.group(1)) if header else None
    except (yaml.YAMLError, ValueError, RecursionError):
        # Dates that do not exist are ValueErrors.
        return None
    license_id = facts.get("license") if isinstance(facts, dict) else None
    return license_id if isinstance(license_id, str) else None
