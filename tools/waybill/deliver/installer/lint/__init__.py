"""The rules by which Replicated's linter takes a release, and a few of our own, offline."""

from __future__ import annotations

from pathlib import Path

# Each registers its rules.
from waybill.deliver.installer.lint import (  # noqa: F401
    charts,
    config,
    kinds,
    rendered,
    shapes,
    troubleshoot,
)
from waybill.deliver.installer.lint.folder import Folder, maps
from waybill.deliver.installer.lint.rule import LEVELS, RULES, Finding
from waybill.deliver.installer.output import FOLDER

__all__ = ["LEVELS", "RULES", "Finding", "Folder", "examine", "lint"]


def lint(path: Path) -> list[Finding]:
    """What is wrong with a release, the worst first. Raises BadFile, HelmMissing.

    `path` is the folder of its documents, or one that `waybill package --out` made, around it.
    """
    below = path / FOLDER
    return examine(Folder.read(below if below.is_dir() else path))


def examine(folder: Folder) -> list[Finding]:
    """As `lint`, at the levels that the release's own LintConfig asks for."""
    levels = {name: each.level for name, each in RULES.items()} | _asked(folder)
    found = [
        Finding(name, levels[name], file, message)
        for name, each in RULES.items()
        if levels[name] != "off"
        for file, message in each.check(folder)
    ]
    return sorted(found, key=lambda one: (LEVELS.index(one.level), one.rule, one.file, one.message))


def _asked(folder: Folder) -> dict[str, str]:
    rules = [
        rule
        for each in folder.of("LintConfig", "kots.io/v1beta1")
        for rule in maps(each.spec.get("rules"))
        if str(rule.get("name")) in RULES and rule.get("level") in (*LEVELS, "off")
    ]
    return {str(rule["name"]): rule["level"] for rule in rules}
