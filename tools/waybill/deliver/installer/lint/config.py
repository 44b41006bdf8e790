"""Rules of the config screen."""

from __future__ import annotations

import re
from typing import Any

import re2

from waybill.deliver.installer.lint.folder import Folder, maps, options_in, strings
from waybill.deliver.installer.lint.rule import Found, rule

TYPES = (
    *("bool", "dropdown", "file", "heading", "label", "password", "radio", "select_one"),
    *("text", "textarea"),
)
_CHECKED = ("file", "password", "text", "textarea")
_TEMPLATE = re.compile(r"repl\{\{.*\}\}|\{\{repl.*\}\}", re.DOTALL)
_SECRET = re.compile(r"password|secret|token")
_NOT_GO = re.compile(r"(?<!\\)(?:\\\\)*(?:\\C|\{(?:\d+,)?\d{9,}(?:,\d*)?\})")
"""A byte of no character, and a count of more digits than Go reads."""
_SUB = re.compile(r'(?:repl\[\[|\[\[repl)\s*ConfigOption\w*\s+"([^"]+)"')


@rule("config-option-invalid-type", "error")
def invalid_type(folder: Folder) -> Found:
    for file, item in folder.items:
        if "type" in item and item["type"] not in TYPES:
            yield (
                file,
                f"{item.get('name')} has the type {item['type']!r}; use one of {_list(TYPES)}",
            )


@rule("config-option-is-circular", "error")
def circular(folder: Folder) -> Found:
    given = {item.get("name"): item for _, item in folder.items}
    reads = {
        name: options_in([item.get("default"), item.get("value")]) for name, item in given.items()
    }
    for file, item in folder.items:
        name = item.get("name")
        if name in options_in(item.get("when")) or name in _reached(str(name), reads):
            yield file, f"{name} depends on itself: let it read other options alone"


def _reached(start: str, reads: dict[Any, set[str]]) -> set[str]:
    """Every option that one reads, itself or through others."""
    found: set[str] = set()
    ahead = set(reads.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead |= reads.get(name, set())
    return found


@rule("config-option-not-repeatable", "error")
def not_repeatable(folder: Folder) -> Found:
    once = {item.get("name") for _, item in folder.items if not item.get("repeatable")}
    for each in folder.documents:
        for _, text in strings(each.value):
            for name in _SUB.findall(text):
                if name in once:
                    yield each.file, f"{name} is read for each repetition: set repeatable: true"


@rule("config-option-when-is-invalid", "error")
def invalid_when(folder: Folder) -> Found:
    for file, item in folder.items:
        when = item.get("when", True)
        words = str(when).strip().lower()
        if words not in ("true", "false") and not _TEMPLATE.fullmatch(str(when).strip()):
            yield (
                file,
                f"{item.get('name')} is shown when {when!r}: write true, false or a template",
            )


@rule("config-option-invalid-regex-validator", "error")
def invalid_regex(folder: Folder) -> Found:
    for file, item in folder.items:
        pattern = _pattern(item)
        if pattern is not None and (why := _unreadable(pattern)):
            yield file, f"{item.get('name')} is checked by {pattern!r}, which {why}"


def _unreadable(pattern: str) -> str:
    """RE2 has Go's syntax, but for what is looked for first."""
    if _NOT_GO.search(pattern):
        return "Go does not know"
    options = re2.Options()
    options.log_errors = False
    # Go asks for no room in advance.
    options.max_mem = 256 << 20
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        return f"RE2 does not know: {error.args[0].decode(errors='replace')}"
    except UnicodeEncodeError:
        return "is no text"
    return ""


@rule("config-option-regex-validator-invalid-type", "error")
def unchecked_type(folder: Folder) -> Found:
    for file, item in folder.items:
        if _pattern(item) is not None and item.get("type", "text") not in _CHECKED:
            yield (
                file,
                f"{item.get('name')} is no text, and a pattern checks {_list(_CHECKED)} alone",
            )


def _pattern(item: dict[str, Any]) -> str | None:
    validation = item.get("validation")
    regex = validation.get("regex") if isinstance(validation, dict) else None
    return str(regex.get("pattern", "")) if isinstance(regex, dict) else None


@rule("repeat-option-missing-template", "error")
def missing_template(folder: Folder) -> Found:
    for file, item in folder.items:
        if item.get("repeatable") and not item.get("templates"):
            yield file, f"{item.get('name')} is repeated and names no templates to repeat"


@rule("repeat-option-missing-valuesByGroup", "error")
def missing_values(folder: Folder) -> Found:
    for file, item in folder.items:
        if item.get("repeatable") and not item.get("valuesByGroup"):
            yield file, f"{item.get('name')} is repeated and has no valuesByGroup"


@rule("repeat-option-malformed-yamlpath", "error")
def malformed_path(folder: Folder) -> Found:
    for file, item in folder.items:
        for template in maps(item.get("templates")):
            path = str(template.get("yamlPath", ""))
            if path and not re.search(r"\[\d+\]$", path):
                yield file, f"{item.get('name')} is put in at {path!r}: end it with a place, as [0]"


@rule("config-option-not-found", "warn")
def not_found(folder: Folder) -> Found:
    known = {item.get("name") for _, item in folder.items}
    for each in folder.documents:
        for name in sorted(options_in(each.value) - known):
            yield each.file, f"the option {name} is read, and the config screen has none of it"


@rule("config-option-password-type", "warn")
def shown_secret(folder: Folder) -> Found:
    for file, item in folder.items:
        if _SECRET.search(str(item.get("name"))) and item.get("type") != "password":
            yield file, f"{item.get('name')} is shown as it is typed: give it the type password"


@rule("config-spec", "warn")
def config_spec(folder: Folder) -> Found:
    if not folder.of("Config", "kots.io/v1beta1"):
        yield "", "there is no Config of kots.io/v1beta1"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
