"""Sizes as people write them: `4GB`, `650MB`, `4GiB` or plain bytes."""

from __future__ import annotations

import re

SIZE = r"(\d{1,18}(?:\.\d{1,9})?)\s*(?:([kMGT])(i?))?B?"
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes. Raises ValueError, in words for people."""
    found = re.fullmatch(SIZE, text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a size such as 4GB")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit or ""])
