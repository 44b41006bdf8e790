"""What looks like a credential, or is known to be one, in words that are about to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "(hidden)"
_LONG = 8
"""Characters: what is shorter occurs in words that are no secret."""
_NAMED = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|cookie|credentials?|signature"
    r"|(?:api|access|private|secret)[_-]?key"
)
_VALUE = r"""(?:\\"(?:(?!\\").)*|"(?:\\.|[^"\\])*|'[^']*|[^\s"']+)"""
"""Of a name: up to the quote that ends it, also where JSON stands in JSON; else up to a space."""
_CREDENTIALS = (
    # The scheme, the credential and its parameters: all of it, to the end of line or quote.
    re.compile(r"""(?i)(authorization\\?["']?\s*[=:]\s*\\?["']?)[^"'\n\\]+"""),
    re.compile(rf"""(?i)((?:{_NAMED})\\?["']?\s*[=:]\s*){_VALUE}"""),
    re.compile(r"""(?i)(\bbearer\s+)[^\s"']{8,}"""),
    re.compile(r"""(://)(?:[^\s"'/@:]*:[^\s"']+|[^\s"'/@]+)(?=@(?!sha256:))"""),
    re.compile(r"()\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given values, and without what looks like a credential."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern in _CREDENTIALS:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def lines_to_hide(value: str) -> set[str]:
    """The lines of a secret value: a log shows them one by one, and without the last newline."""
    return {line for each in value.splitlines() if len(line := each.strip()) >= _LONG}
