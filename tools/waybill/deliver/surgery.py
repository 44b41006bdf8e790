"""One scalar of a YAML text set, every other byte as it was.

PyYAML only says where things are; the text is cut and joined by us. What was made is read again and
compared with what was there, so an edit is either exactly what was asked for, or refused. What is
written once and used elsewhere (anchors, merged maps) is refused, for it would change there, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Scalar: TypeAlias = str | int | float | bool | None
Keys: TypeAlias = tuple[str | int, ...]
"""From the root: keys of maps, and indices of lists."""

_STEP = 2
"""Columns of a new level; what is there keeps its own."""
_PLAIN = re.compile(r"[A-Za-z_/][\w./@+-]*(?:[:=][\w./@+-]+)*", re.ASCII)
"""Strings that every reader of YAML takes for strings without quotes, but for these words."""
_WORDS = re.compile(r"y|n|yes|no|on|off|true|false|null|nan|inf", re.IGNORECASE)
_NULL, _STRING, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("null", "str", "merge"))
_NOTHING = object()
_BREAK = re.compile("\\r\\n|[\\n\\r\\x85\\u2028\\u2029]")
"""What ends a line for PyYAML, and for what Helm reads values with."""


class _Loader(yaml.SafeLoader):
    """Remembers which nodes are more than what stands there, by their identity."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.marked: dict[int, str] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # of the stubs
        node = super().compose_node(parent, index)
        if getattr(event, "anchor", None):
            self.marked[id(node)] = "it is an anchor or an alias, which stands for more than itself"
        elif getattr(event, "tag", None):
            self.marked[id(node)] = "it has a tag"
        return node


@dataclass(frozen=True)
class _Tree:
    root: Node | None
    marked: Mapping[int, str]

    @classmethod
    def of(cls, text: str) -> _Tree:
        """Raises ValueError for what is not one document of maps with each key once."""
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            _check_keys(root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = f"line {mark.line + 1}: " if mark else ""
            raise ValueError(f"it is not YAML text ({line}{error.problem})") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError("it is not YAML text") from error
        finally:
            loader.dispose()
        return cls(root, loader.marked)

    def leaves(self) -> list[tuple[Keys, str, str]]:
        """Path, tag and text of every scalar and of every empty map or list."""
        return list(_leaves((), self.root)) if self.root else []


def _check_keys(node: Node | None) -> None:
    if isinstance(node, MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.value in seen:
                what = f"the key {key.value!r} stands there twice"
                what = what if isinstance(key, ScalarNode) else "a key is no scalar"
                raise yaml.MarkedYAMLError(problem=what, problem_mark=key.start_mark)
            seen.add(key.value)
            _check_keys(value)
    elif isinstance(node, SequenceNode):
        for each in node.value:
            _check_keys(each)


def _leaves(path: Keys, node: Node) -> Iterator[tuple[Keys, str, str]]:
    if isinstance(node, ScalarNode):
        yield path, node.tag, node.value
    elif not node.value:
        yield path, node.tag, ""
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _leaves((*path, key.value), value)
    else:
        for at, value in enumerate(node.value):
            yield from _leaves((*path, at), value)


@dataclass(frozen=True)
class _Place:
    """How far a path leads: the last node, the key it stands at, what is left of the path."""

    node: Node
    key: ScalarNode | None
    rest: Keys
    flow: bool
    """Whether it stands in braces or brackets, or is such."""


def check(text: str) -> None:
    """Raises ValueError for what is not one document, each of whose keys stands there once."""
    _Tree.of(text)


def value_at(text: str, keys: Keys) -> Scalar:
    """The scalar there, None where there is nothing. Raises ValueError for a map or a list."""
    tree = _Tree.of(text)
    place = _walk(tree, keys) if tree.root else None
    if place is None or place.rest:
        return None
    node = _scalar(place.node)
    found = _constructed(node)
    return found if isinstance(found, str | int | float | bool | None) else node.value


def edited(text: str, keys: Keys, value: Scalar) -> str:
    """The text with this scalar at this path, which is made where it is missing.

    Raises ValueError, in words for people, where that cannot be done without touching more.
    """
    tree = _Tree.of(text)
    if tree.root is None or (_is_null(tree.root) and len(text[: _start(tree.root)].strip()) < 4):
        made = _appended(text, _block(keys, value, 0, _newline(text)))
    else:
        place = _walk(tree, keys)
        made = _added(text, place, value) if place.rest else _replaced(text, place.node, value)
    _check(tree, _Tree.of(made), keys, value)
    return made


def _walk(tree: _Tree, keys: Keys) -> _Place:
    node, key, flow = tree.root, None, False
    assert node  # noqa: S101 - for the type; callers have looked
    for at, step in enumerate(keys):
        _refuse_marked(tree, node, keys[:at])
        flow = flow or bool(getattr(node, "flow_style", False))
        found = _child(node, step, keys[: at + 1])
        if found is None:
            return _Place(node, key, keys[at:], flow)
        key, node = found
    _refuse_marked(tree, node, keys)
    return _Place(node, key, (), flow or bool(getattr(node, "flow_style", False)))


def _refuse_marked(tree: _Tree, node: Node, keys: Keys) -> None:
    merges = isinstance(node, MappingNode) and any(key.tag == _MERGE for key, _ in node.value)
    why = "it merges another map" if merges else tree.marked.get(id(node))
    if why:
        raise ValueError(f"{spelled(keys) or 'the file'}: {why}")


def _child(node: Node, step: str | int, path: Keys) -> tuple[ScalarNode | None, Node] | None:
    """The key (none in a list) and the node; None where it can be made."""
    if isinstance(node, MappingNode) and isinstance(step, str):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int):
        if step < len(node.value):
            return None, node.value[step]
        raise ValueError(f"{spelled(path)} is not there: the list has {len(node.value)}")
    if _is_null(node) and isinstance(step, str):
        return None
    kind = "map" if isinstance(step, str) else "list"
    raise ValueError(f"{spelled(path[:-1]) or 'the file'} is not a {kind}")


def _scalar(node: Node) -> ScalarNode:
    if not isinstance(node, ScalarNode):
        raise ValueError("it is a map or a list: set what is in it, one by one")
    return node


def _replaced(text: str, at: Node, value: Scalar) -> str:
    node = _scalar(at)
    if node.style in ("|", ">"):
        raise ValueError("it is a text of several lines: edit it by hand")
    start, end = _start(node), _end(node)
    space = " " if start == end and text[start - 1] in ":-" else ""
    return text[:start] + space + written(value, node.style) + text[end:]


def _added(text: str, place: _Place, value: Scalar) -> str:
    node, rest = place.node, place.rest
    start, end = _start(node), _end(node)
    if isinstance(node, MappingNode) and place.flow:
        at, comma = (_last(text, node), ", ") if node.value else (start + 1, "")
        return text[:at] + comma + _flow(rest, value) + text[at:]
    if isinstance(node, MappingNode):
        column = node.value[0][0].start_mark.column
        return _inserted(text, _last(text, node), _block(rest, value, column, _newline(text)))
    if start == end and place.key and not place.flow:
        column = place.key.start_mark.column + _STEP
        return _inserted(text, start, _block(rest, value, column, _newline(text)))
    space = " " if start == end else ""
    return f"{text[:start]}{space}{{{_flow(rest, value)}}}{text[end:]}"


def _last(text: str, node: Node) -> int:
    """Where the last thing in a node ends; a block's own end is where the next thing begins.

    Raises ValueError for an alias that cannot be found.
    """
    if isinstance(node, MappingNode) and node.value:
        key, value = node.value[-1]
        if _start(value) < _start(key):
            return _alias_end(text, _end(key))
        return _end(value) if node.flow_style else _last(text, value)
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        if _start(node.value[-1]) < _start(node):
            raise ValueError("it ends with an alias in a list: edit it by hand")
        return _last(text, node.value[-1])
    return _end(node)


def _alias_end(text: str, key: int) -> int:
    """Of the alias behind the key that ends there: what it stands for is somewhere else."""
    found = re.compile(r"[ \t]*:[ \t]+\*[^\s,\[\]{}]+").match(text, key)
    if not found:
        raise ValueError("it ends with an alias: edit it by hand")
    return found.end()


def _inserted(text: str, after: int, lines: str) -> str:
    """The lines below the thing before them, and below the comments on it: those are deeper."""
    at = after if _BREAK.match(text[after - 1 : after]) else _next_line(text, after)
    column = len(lines) - len(lines.lstrip(" "))
    comment = re.compile(rf" {{{column + 1},}}#")
    while found := comment.match(text, at):
        at = _next_line(text, found.end())
    return _appended(text[:at], lines) + text[at:]


def _next_line(text: str, at: int) -> int:
    """Where it begins; the end of a text that has no more lines."""
    found = _BREAK.search(text, at)
    return found.end() if found else len(text)


def _appended(text: str, lines: str) -> str:
    begins = text in ("", "\ufeff") or _BREAK.fullmatch(text[-1])
    return text + ("" if begins else _newline(text)) + lines


def _block(keys: Keys, value: Scalar, column: int, newline: str) -> str:
    lines = [" " * (column + _STEP * at) + f"{_key(key)}:" for at, key in enumerate(keys)]
    return newline.join(lines) + f" {written(value)}{newline}"


def _flow(keys: Keys, value: Scalar) -> str:
    inner = written(value) if len(keys) == 1 else f"{{{_flow(keys[1:], value)}}}"
    return f"{_key(keys[0])}: {inner}"


def _key(key: str | int) -> str:
    if isinstance(key, int):
        raise ValueError(f"there is no list that could have an item {key}")
    return written(key)


def written(value: Scalar, style: str | None = None) -> str:
    """As YAML; `style` is the quote that stands there now."""
    if not isinstance(value, str):
        return json.dumps(value)
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    plain = _PLAIN.fullmatch(value) and not _WORDS.fullmatch(value)
    if style is None and plain and _constructed(ScalarNode(_resolved(value), value)) == value:
        return value
    return '"' + "".join(map(_quoted, value)) + '"'


def _quoted(sign: str) -> str:
    """In double quotes."""
    if sign in '"\\':
        return "\\" + sign
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"


def _resolved(value: str) -> str:
    resolver: Any = yaml.resolver.Resolver()
    return str(resolver.resolve(ScalarNode, value, (True, False)))


def _constructed(node: ScalarNode) -> object:
    constructor: Any = yaml.constructor.SafeConstructor()
    try:
        return constructor.construct_object(node)
    except (ValueError, yaml.YAMLError):
        return _NOTHING


def _check(before: _Tree, after: _Tree, keys: Keys, value: Scalar) -> None:
    """Raises ValueError unless the scalar is there, and all else as it was."""

    def others(tree: _Tree) -> list[tuple[Keys, str, str]]:
        return [leaf for leaf in tree.leaves() if leaf[0] != keys[: len(leaf[0])]]

    found = [leaf for leaf in after.leaves() if leaf[0] == keys]
    right = False
    if len(found) == 1:
        _, tag, text = found[0]
        made = _constructed(ScalarNode(tag, text))
        right = made == value and type(made) is type(value)
    if not right or others(before) != others(after):
        raise ValueError("it is written in a way that cannot be edited safely: edit it by hand")


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == _NULL


def _start(node: Node) -> int:
    return int(node.start_mark.index)


def _end(node: Node) -> int:
    return int(node.end_mark.index)


def _newline(text: str) -> str:
    """As the file has them; of several kinds, the one that most editors keep."""
    return next((end for end in ("\r\n", "\n", "\r") if end in text), "\n")


def spelled(keys: Sequence[str | int]) -> str:
    """A path as people write it: `a.b[0]`, dots in keys as `\\.`."""
    parts = [f"[{key}]" if isinstance(key, int) else "." + _escaped(key) for key in keys]
    return "".join(parts).removeprefix(".")


def _escaped(key: str) -> str:
    return re.sub(r"([\\.\[=])", r"\\\1", key)


def parse_path(text: str) -> Keys:
    """Raises ValueError unless it is a path as `spelled` writes it."""
    token = re.compile(r"(?:^|(?<=.)\.)((?:\\.|[^\\.\[])+)|\[(\d+)\]")
    found: list[str | int] = []
    at = 0
    while at < len(text):
        match = token.match(text, at)
        if match is None:
            break
        key, index = match.groups()
        found.append(int(index) if index else re.sub(r"\\(.)", r"\1", key))
        at = match.end()
    if at < len(text) or not found or isinstance(found[0], int):
        raise ValueError("it must be keys with dots between them, as global.models.chat.replicas")
    return tuple(found)
