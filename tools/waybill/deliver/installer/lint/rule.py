"""A rule: its name, its level, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from waybill.deliver.installer.lint.folder import Folder

LEVELS = ("error", "warn", "info")

Found: TypeAlias = Iterator[tuple[str, str]]
"""File and sentence."""
Check: TypeAlias = Callable[[Folder], Found]


class Rule(NamedTuple):
    level: str
    check: Check


class Finding(NamedTuple):
    """What breaks a rule, and in which file; "" is the release as a whole."""

    rule: str
    level: str
    file: str
    message: str


RULES: dict[str, Rule] = {}


def rule(name: str, level: str) -> Callable[[Check], Check]:
    """Register what checks a rule."""

    def registered(check: Check) -> Check:
        RULES[name] = Rule(level, check)
        return check

    return registered
