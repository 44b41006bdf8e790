"""One value of a hand-formatted file is set, and no other byte differs."""

import difflib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from waybill.deliver import surgery
from waybill.deliver.surgery import Keys, Scalar, edited, parse_path, spelled

COMMENTED = """\
# Why dev is as it is.

global:   # shared
    models:
        chat:          # the one that people talk to
            enabled:   false   # not yet
            "replicas" : 2
            servedNames: [chat, 'gpt-4', "x y"]
            engineArgs: {max-model-len: 4096, "dtype": auto , quantization: }
            notes: |
              Two lines,
              both kept.
            empty:
            nothing: ~
        embed: {enabled: true}
    imageRegistry: "registry.example"  # mirrored

minio:
  storage:
    size: 20Gi
    class: 'fast''est'
  tolerations:
  - key: gpu
    value:  "1"
  -   key: spot
      effect: NoSchedule
folded: >-
  one
  two
long: a plain text
  on two lines
last: 0644
"""
COMPACT = "a: {b: {c: 1, d: [1, {e: f}]}, g: ''}\nh: [{i: j}, k]\nl: 1.5"
JSON = '{"global": {"models": {"chat": {"enabled": false, "weights": [1, 2.5, null]}}}}\n'
DEEP = "a:\n  b:\n    c:\n\n      d: yes\n\n      # about e\n      e: 2026-01-01\n\n# the end\n\n\n"
DOCUMENT = "%YAML 1.1\n---\nkey: value  # kept\nother:\n- one\n- two: three\n...\n"
UNICODE = "\u00fcml\u00e4ut: gr\u00fc\u00dfe # \u2713\n\u65e5\u672c: {\u8a9e: \u30c6\u30b9\u30c8}\n"
WINDOWS = COMMENTED.replace("\n", "\r\n")
MARK = "\ufeff"
"""What some editors write before UTF-8."""
MARKED = [MARK + COMMENTED, MARK + WINDOWS, MARK + JSON]
MAC = COMMENTED.replace("\n", "\r")
MIXED = re.sub("\n", lambda found: ("\r\n", "\r", "\n")[found.start() % 3], COMMENTED)
BROKEN = """\
odd:  # next\u0085  line: {here: 1}
  two: "left\u2028right"  # kept
  three: 'up\u2029down'
  four: "a\u0085b"
  five: 5\u2028  six: {seven: 7}\u2029  # about six\u0085
  eight: 8
"""
"""Signs that end a line for some readers of YAML, in scalars and between them."""
ROOT = Path(__file__).resolve().parents[3]
OURS = [path.read_text() for path in sorted((ROOT / "values").glob("*.yaml"))]
"""What people have written by hand in this repository."""
CORPUS = [*OURS, COMMENTED, COMPACT, JSON, DEEP, DOCUMENT, UNICODE, WINDOWS, COMMENTED.rstrip("\n")]
CORPUS += [*MARKED, MAC, MAC.rstrip("\r"), MIXED, BROKEN]


def leaves(value: Any, path: Keys = ()) -> list[Keys]:
    """Every path to a scalar."""
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in leaves(each, (*path, key))]
    if isinstance(value, list):
        return [leaf for at, each in enumerate(value) for leaf in leaves(each, (*path, at))]
    return [path]


def with_value(value: Any, keys: Keys, wanted: Scalar) -> Any:
    """An independent model of what an edit does."""
    if not keys:
        return wanted
    head, *rest = keys
    if isinstance(value, list):
        return [with_value(e, tuple(rest), wanted) if i == head else e for i, e in enumerate(value)]
    held = dict(value or {})
    return {**held, head: with_value(held.get(head), tuple(rest), wanted)}


def lines_changed(old: str, new: str) -> tuple[int, int]:
    """Lines that went, and lines that came."""
    lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
    steps = difflib.SequenceMatcher(None, *lines, autojunk=False).get_opcodes()
    changed = [step[1:] for step in steps if step[0] != "equal"]
    return sum(b - a for a, b, _, _ in changed), sum(d - c for _, _, c, d in changed)


TEXTS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=20)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.none(),
    st.integers(-(10**12), 10**12),
    st.sampled_from(
        ["yes", "1e3", "0x1f", "1_000", "12:30:45", "~", "- a", "a: b", "# no", "'", '"']
    ),
    st.sampled_from(
        ["0o17", "012", "1.10", "null", "!!str", "&a", "*a", "{}", "[a", "a #b", "", "="]
    ),
)
PLACES = [(text, keys) for text in CORPUS for keys in leaves(yaml.safe_load(text))]
SEVERAL = {("folded",), ("long",), ("global", "models", "chat", "notes")}
SEVERAL |= {("odd", key) for key in ("two", "three", "four")}


def ends(text: str) -> Counter[str]:
    """Line ends, by kind."""
    return Counter(re.findall("\r\n|[\n\r\x85\u2028\u2029]", text))


@given(st.sampled_from([place for place in PLACES if place[1] not in SEVERAL]), SCALARS)
@example((JSON, ("global", "models", "chat", "enabled")), "a, b")
@example((COMPACT, ("h", 1)), "]")
def test_only_the_line_of_the_scalar_differs(place: tuple[str, Keys], value: Scalar) -> None:
    text, keys = place
    new = edited(text, keys, value)
    assert yaml.safe_load(new) == with_value(yaml.safe_load(text), keys, value)
    gone, come = lines_changed(text, new)
    assert gone == come <= 1
    assert ends(new) == ends(text)


NEW = st.lists(
    st.one_of(st.sampled_from(["new", "max-model-len", "a.b", "yes", "1", "x y", "ä"]), TEXTS),
    min_size=1,
    max_size=3,
)


@st.composite
def missing(draw: st.DrawFn) -> tuple[str, Keys]:
    """A path of which some map, or nothing, is there."""
    text = draw(st.sampled_from(CORPUS))
    held, path = yaml.safe_load(text), []
    while isinstance(held, dict) and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(held)))
        if not isinstance(held[key], dict | None):
            break
        path.append(key)
        held = held[key]
    new = draw(NEW.filter(lambda keys: keys[0] not in (held or {})))
    return text, (*path, *new)


@given(missing(), SCALARS)
@example((MAC, ("minio", "new")), 1)
@example((MAC, ("new", "x")), 1)
@example((MIXED, ("last one",)), 1)
@example((MIXED, ("minio", "storage", "new")), 1)
@example((BROKEN, ("odd", "six", "new")), 1)
@example((BROKEN, ("odd", "new")), 1)
def test_what_is_missing_is_added_and_nothing_goes(place: tuple[str, Keys], value: Scalar) -> None:
    text, keys = place
    new = edited(text, keys, value)
    assert yaml.safe_load(new) == with_value(yaml.safe_load(text), keys, value)
    gone, come = lines_changed(text, new)
    last_line = 0 if text.endswith(("\n", "\r")) else 1
    assert gone <= 1 + last_line and come <= len(keys) + gone
    assert not ends(text) - ends(new)
    assert set(ends(new)) == set(ends(text)) and len(ends(new) - ends(text)) <= 1


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        ("global.models.chat.enabled", True, "enabled:   false   #", "enabled:   true   #"),
        ("global.models.chat.replicas", 3, '"replicas" : 2', '"replicas" : 3'),
        ("global.models.chat.servedNames[1]", "it's", "'gpt-4'", "'it''s'"),
        ("global.models.chat.servedNames[2]", "a", '"x y"', '"a"'),
        ("global.models.chat.engineArgs.dtype", "half", "auto ,", "half ,"),
        (
            "global.models.chat.engineArgs.quantization",
            "awq",
            "quantization: }",
            "quantization: awq }",
        ),
        ("global.models.chat.empty", "1", "empty:\n", 'empty: "1"\n'),
        ("global.models.embed.replicas", 1, "{enabled: true}", "{enabled: true, replicas: 1}"),
        ("minio.tolerations[0].value", "2", '"1"', '"2"'),
        ("minio.tolerations[1].key", "yes", "key: spot", 'key: "yes"'),
        ("minio.storage.class", "slow", "'fast''est'", "'slow'"),
        ("long", "short", "a plain text\n  on two lines", "short"),
        ("last", "0644", "0644", '"0644"'),
    ],
)
def test_quotes_comments_and_spaces_stay(path: str, value: Scalar, old: str, new: str) -> None:
    assert COMMENTED.count(old) == 1
    assert edited(COMMENTED, parse_path(path), value) == COMMENTED.replace(old, new)


ALIASED = "a: &x {b: 1}\nc:\n  d: *x # x\n  f: 1\ne: 2\n"


@pytest.mark.parametrize(
    ("text", "path", "made"),
    [
        ("", "a.b", "a:\n  b: 1\n"),
        ("# nothing yet\n", "a", "# nothing yet\na: 1\n"),
        ("---\n", "a", "---\na: 1\n"),
        ("a:\n", "a.b.c", "a:\n  b:\n    c: 1\n"),
        ("a:  # none\n# more\nd: 2\n", "a.b", "a:  # none\n  b: 1\n# more\nd: 2\n"),
        ("a: {}\n", "a.b.c", "a: {b: {c: 1}}\n"),
        ("a: ~\n", "a.b", "a: {b: 1}\n"),
        ("a:\n    b: 2", "a.c", "a:\n    b: 2\n    c: 1\n"),
        ("a:\n- b: 2\n", "a[0].c", "a:\n- b: 2\n  c: 1\n"),
        ("a:\n-\n", "a[0].c", "a:\n- {c: 1}\n"),
        ("a: |\n  text\n\nb: 1\n", "c", "a: |\n  text\n\nb: 1\nc: 1\n"),
        (
            "a:\n  b: |\n    text\n\n# c\nc: 1\n",
            "a.d",
            "a:\n  b: |\n    text\n\n  d: 1\n# c\nc: 1\n",
        ),
        (
            "a:\n  b: 1  # x\n       # y\nc: 1\n",
            "a.d",
            "a:\n  b: 1  # x\n       # y\n  d: 1\nc: 1\n",
        ),
        ("a:\n  b:\n    c: 1\n    # c", "a.d", "a:\n  b:\n    c: 1\n    # c\n  d: 1\n"),
        ("a:\n  b: 1\n  # c: 1\n", "a.d", "a:\n  b: 1\n  d: 1\n  # c: 1\n"),
        ("a: {b: 2,\n    c: 3, # three\n}\n", "a.d", "a: {b: 2,\n    c: 3, d: 1, # three\n}\n"),
        (MARK, "a.b", MARK + "a:\n  b: 1\n"),
        ("a:\r  b: 2 # x\rc: 1\r", "a.d", "a:\r  b: 2 # x\r  d: 1\rc: 1\r"),
        ("a: 2\r", "b.c", "a: 2\rb:\r  c: 1\r"),
        ("a: 2\r\nb: 2\r", "c", "a: 2\r\nb: 2\rc: 1\r\n"),
        ("a:\n  b: 2\u2028c: 3\n", "a.d", "a:\n  b: 2\u2028  d: 1\nc: 3\n"),
        # What an alias stands for is somewhere else.
        ("a: &x {b: 1}\nc:\n  d: *x # x\ne: 2\n", "c.f", ALIASED),
        ("a: &x\n  b: 1\nc: *x\n", "d", "a: &x\n  b: 1\nc: *x\nd: 1\n"),
        ("a: &x 1\nc: {d: 2, e: *x }\n", "c.f", "a: &x 1\nc: {d: 2, e: *x, f: 1 }\n"),
    ],
)
def test_a_missing_key_goes_below_its_neighbours(text: str, path: str, made: str) -> None:
    assert edited(text, parse_path(path), 1) == made


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ("a: &x {b: 1}\nc: *x\n", "a.b", "a: it is an anchor or an alias"),
        ("a: &x {b: 1}\nc: *x\n", "c.b", "c: it is an anchor or an alias"),
        ("a: &x 1\nc: *x\n", "c", "an anchor or an alias"),
        ("a: &x {b: 1}\nc: {<<: *x, d: 1}\n", "c.d", "c: it merges another map"),
        ("a: !!str 1\n", "a", "it has a tag"),
        ("a: 1\na: 2\n", "b", "line 2: the key 'a' stands there twice"),
        ("a: {b: 1, b: 2}\n", "c", "the key 'b' stands there twice"),
        ("a: 1\n---\nb: 2\n", "a", "not YAML text"),
        ("a: [1\n", "a", "not YAML text"),
        ("a: {b: 1}\n", "a", "a map or a list"),
        ("a: [1]\n", "a", "a map or a list"),
        ("a: [1]\n", "a[1]", r"a\[1\] is not there: the list has 1"),
        ("a: [1]\n", "a.b", "a is not a map"),
        ("a: text\n", "a.b", "a is not a map"),
        ("a: {b: 1}\n", "a[0]", "a is not a list"),
        ("- 1\n", "a", "the file is not a map"),
        ("a: |\n  text\n", "a", "several lines"),
        ("a: >\n  text\n", "a", "several lines"),
        ("a: &x [*x]\n", "b", "not YAML text"),
        ("? [a]\n: 1\n", "b", "a key is no scalar"),
        ("a:\n", "a[0]", "a is not a list"),
        ("a: {b}\n", "a.b", "edit it by hand"),
        ("a: &x 1\nc:\n  d:\n    *x\n", "c.e", "it ends with an alias"),
        ("a: &x 1\nc:\n  d:\n  - 1\n  - *x\n", "c.e", "an alias in a list"),
    ],
)
def test_what_would_change_more_is_refused(text: str, path: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        edited(text, parse_path(path), 2)


@pytest.mark.parametrize(
    ("key", "left"),
    [("two", '"left\u2028right"'), ("three", "'up\u2029down'"), ("four", '"a\u0085b"')],
)
def test_a_scalar_that_holds_a_line_end_goes_whole(key: str, left: str) -> None:
    assert BROKEN.count(left) == 1
    assert edited(BROKEN, ("odd", key), 5) == BROKEN.replace(left, "5")


def test_an_anchor_elsewhere_is_no_harm() -> None:
    text = "a: &x {b: 1}\nc: *x\nd: 1\n"
    assert edited(text, ("d",), 2) == text.replace("d: 1", "d: 2")


@given(st.lists(st.one_of(TEXTS.filter(bool), st.integers(0, 99)), min_size=1, max_size=4))
def test_a_path_is_read_as_it_is_spelled(keys: list[str | int]) -> None:
    if isinstance(keys[0], str):
        assert parse_path(spelled(keys)) == tuple(keys)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "[0]", "a[", "a[x]", "a[0", "a\\"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="keys with dots"):
        parse_path(text)


def test_the_value_that_is_there_is_told() -> None:
    assert surgery.value_at(COMMENTED, parse_path("global.models.chat.replicas")) == 2
    assert surgery.value_at(COMMENTED, parse_path("global.models.none.at.all")) is None
    assert surgery.value_at("", ("a",)) is None
    with pytest.raises(ValueError, match="a map or a list"):
        surgery.value_at(COMMENTED, ("minio",))
