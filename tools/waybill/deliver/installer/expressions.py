"""Replicated's template functions, as texts of YAML.

Installers render a file as text before it is parsed. So what comes out is written as JSON, which is
YAML whatever a person has typed, and stands without quotes of its own.
"""

from __future__ import annotations

import json


def repl(expression: str) -> str:
    return f"repl{{{{ {expression} }}}}"


def quoted(text: str) -> str:
    """As Go's templates read a string."""
    return json.dumps(text)


def answer(name: str, default: str = "") -> str:
    """What the person has typed; an option that is hidden may be empty whatever its default is."""
    found = f'ConfigOption "{name}"'
    return f"{found} | default {quoted(default)}" if default else found


def text(name: str, default: str = "") -> str:
    return repl(f"{answer(name, default)} | toJson")


def number(name: str, default: str) -> str:
    return repl(f"{answer(name, default)} | ParseInt")


def chosen(name: str, choice: str) -> str:
    return f'ConfigOptionEquals "{name}" "{choice}"'


def where(condition: str, then: str, otherwise: str = '""') -> str:
    """One of two expressions, as text."""
    return repl(f"{condition} | ternary ({then}) {otherwise} | toJson")
