"""YAML text into a tree that still knows its lines: the strict part of YAML 1.2, bounded in size and depth.

PyYAML reads YAML 1.1, in which ``no`` is false, ``010`` is eight and ``1:30`` is ninety; most editors and schema
checkers read YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), in which they are not. What the two read
differently is refused here, with the advice to quote it. So are tags, merge keys, empty values, duplicate keys and
second documents: none of them is needed to configure anything, each has surprised somebody.

Values are not quoted in messages: a file is no place for secrets, which does not keep them out of it.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from msgspec import Struct, field

from keylease.errors import DOCS, UsageError
from keylease.model import Origin

MAX_BYTES = 1024 * 1024
"""Bytes of a whole file."""

MAX_NODES = 10_000
"""Values in a file once all aliases are written out ("billion laughs")."""

MAX_DEPTH = 32

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_CORE = (  # YAML 1.2.2 §10.3.2
    ("null", re.compile(r"(?:null|Null|NULL|~|)")),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)")),
    ("int", re.compile(r"[-+]?[0-9]{1,30}")),
    ("int", re.compile(r"0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")),
    ("float", re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")),
)

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a decimal number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


class Node(Struct):
    """A value and where it stands.

    value: str, int, float, bool, a list of nodes, or a dict of nodes by key. line: counted from 1.
    lines: of a mapping, the line of each key. size: values in it, itself included, aliases written out.
    """

    value: Any
    line: int
    lines: dict[str, int] = field(default_factory=dict)
    size: int = 1

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return _KINDS[type(self.value)]

    @property
    def plain(self) -> Any:
        """The bare value, children included."""
        if isinstance(self.value, dict):
            return {key: child.plain for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain for child in self.value]
        return self.value

    def line_of(self, path: str) -> int:
        """The line of what ``.a.b[0].c`` names, or of the nearest thing around it that exists."""
        node, line = self, self.line
        for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
            if key and isinstance(node.value, dict) and key in node.value:
                node, line = node.value[key], node.lines[key]
            elif index and isinstance(node.value, list) and int(index) < len(node.value):
                node = node.value[int(index)]
                line = node.line
            else:
                break
        return line


def parse(data: str | bytes, source: str) -> Node:
    """The file's tree. `source` names it in messages. Raises :class:`UsageError` with file and line."""
    text = _decoded(data, source)
    events = _events(text, source)
    try:
        return _Composer(events, source).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, source) from None


def fail(source: str, line: int | None, key: str, problem: str, change: str = "", cause: str = "") -> UsageError:
    """The error for one place in the file: ``keylease.yml:3: leases[0].env: PROBLEM``."""
    return UsageError(f"{Origin(source, line, key)}: {problem}", cause=cause, change=change, docs="configuration")


def shown(key: str) -> str:
    """A key for a message: one line, no control characters, no novel."""
    text = "".join(c if c.isprintable() else "?" for c in key)
    return text if len(text) <= 60 else text[:57] + "..."


def _decoded(data: str | bytes, source: str) -> str:
    if len(data) > MAX_BYTES:
        raise fail(source, None, "", f"is {len(data)} bytes long; more than {MAX_BYTES} are not read")
    text = data if isinstance(data, str) else _utf8(data, source)
    text = text.removeprefix("\ufeff")
    found = _UNPRINTABLE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise fail(source, line, "", f"has a control character (U+{ord(found[0]):04X})", "remove it")
    return text


def _utf8(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
    # From outside the handler: the decoder's exception holds the whole file.
    line = data.count(b"\n", 0, at) + 1
    raise fail(source, line, "", f"is not UTF-8 (byte {at})", "save the file as UTF-8")


def _events(text: str, source: str) -> Iterator[Any]:
    events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
    for event in events:
        if getattr(event, "tag", None) is not None:
            raise fail(
                source,
                event.start_mark.line + 1,
                "",
                "YAML tags (!…) are not used here",
                "remove the tag; put a value in quotes to make it text",
            )
        yield event


class _Composer:
    def __init__(self, events: Iterator[Any], source: str) -> None:
        self._events = events
        self._source = source
        self._anchors: dict[str, Node | None] = {}  # None: still being read
        self._total = 0

    def document(self) -> Node:
        self._next()  # StreamStart
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise self._fail(None, "", "is empty", f"start with `version: 1`; {DOCS}/configuration.md shows the rest")
        root = self._node(self._next(), "", 0)
        self._next()  # DocumentEnd
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._fail(_line(after), "", "starts a second document", "keep one document, remove the `---` line")
        return root

    def _next(self) -> Any:
        return next(self._events)

    def _fail(self, line: int | None, key: str, problem: str, change: str = "") -> UsageError:
        return fail(self._source, line, key, problem, change)

    def _node(self, event: Any, path: str, depth: int) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line, path)
        if depth > MAX_DEPTH:
            raise self._fail(line, "", f"is nested more than {MAX_DEPTH} levels deep")
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._scalar(event, path, line), line)
            self._count(1, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(line, path, depth)
        else:
            node = self._mapping(line, path, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, line: int, path: str) -> Node:
        name = event.anchor
        if name not in self._anchors:
            raise self._fail(line, path, f"there is no anchor &{shown(name)} above")
        node = self._anchors[name]
        if node is None:
            raise self._fail(line, path, f"the anchor &{shown(name)} contains itself")
        self._count(node.size, line)
        return node

    def _count(self, size: int, line: int) -> None:
        self._total += size
        if self._total > MAX_NODES:
            raise self._fail(line, "", f"has more than {MAX_NODES} values once its aliases are written out")

    def _sequence(self, line: int, path: str, depth: int) -> Node:
        self._count(1, line)
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return Node(items, line, size=1 + sum(item.size for item in items))

    def _mapping(self, line: int, path: str, depth: int) -> Node:
        self._count(1, line)
        node = Node({}, line)
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, key_line = self._key(event, path), _line(event)
            here = f"{path}.{shown(key)}" if path else shown(key)
            if key in node.value:
                raise self._fail(key_line, here, f"is there twice (first in line {node.lines[key]})", "keep one")
            child = self._node(self._next(), here, depth + 1)
            node.value[key] = child
            node.lines[key] = key_line
            node.size += child.size
        return node

    def _key(self, event: Any, path: str) -> str:
        line = _line(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise self._fail(line, path, "a key must be plain text")
        if event.value == "<<" and event.style in (None, ""):
            raise self._fail(line, path, "merge keys (<<) are not used here", "write the settings out")
        key = self._scalar(event, path, line, is_key=True)
        if not isinstance(key, str):
            raise self._fail(line, path, "a key must be text", "put the key in quotes")
        if not key:
            raise self._fail(line, path, "a key must not be empty")
        return key

    def _scalar(self, event: Any, path: str, line: int, *, is_key: bool = False) -> Any:
        text: str = event.value
        if event.style not in (None, ""):
            return text
        kind = next((name for name, pattern in _CORE if pattern.fullmatch(text)), "str")
        if kind == "null":
            what, change = "has no value", "give it a value, or remove the line"
            raise self._fail(line, path, "a key must be text" if is_key else what, "" if is_key else change)
        if _read_by_yaml_1_1(text) != (kind, _leading_zero(text, kind)):
            raise self._fail(
                line,
                path,
                "a plain word or number that YAML 1.1 and 1.2 read differently",
                "put it in quotes if it is text; write true or false, or a plain decimal number, if it is not",
            )
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if kind == "float":
            number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(number):
                raise self._fail(line, path, "is not a number that can be used here")
            return number
        return text


def _leading_zero(text: str, kind: str) -> bool:
    return kind == "int" and re.match(r"[-+]?0[0-9]", text) is not None


def _read_by_yaml_1_1(text: str) -> tuple[str, bool]:
    """The kind YAML 1.1 takes plain `text` for; the flag is never set, so that a leading zero always differs."""
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in [*resolvers.get(text[:1], []), *resolvers.get(None, [])]:
        if pattern.match(text):
            return tag.rpartition(":")[2], False
    return "str", False


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax_error(error: yaml.MarkedYAMLError, text: str, source: str) -> UsageError:
    # libyaml and PyYAML's own parser word their complaints differently, so the common ones get words of ours.
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column) if mark else (1, 0)
    row = text.split("\n")[line - 1] if line <= text.count("\n") + 1 else ""
    problem, change = f"is not valid YAML (column {column + 1}): {error.problem}", ""
    indentation = row[: len(row) - len(row.lstrip())]
    if "\t" in indentation:
        problem, change = "is indented with a tab", "use spaces"
    elif "cannot start any token" in (error.problem or ""):
        problem = f"is not valid YAML (column {column + 1}): a value can't start with {row[column : column + 1]!r}"
        change = "put the value in quotes"
    elif "mapping values are not allowed" in (error.problem or ""):
        problem = f"is not valid YAML (column {column + 1}): a second `: ` in one line, or wrong indentation"
        change = "put a value that holds `: ` in quotes; indent the keys of one mapping alike"
    elif "end of stream" in (error.problem or "") or "stream end" in (error.problem or ""):
        problem, change = "is not valid YAML: a quote or bracket is not closed", ""
        opened = error.context_mark or mark
        line = opened.line + 1 if opened else line
    return fail(source, line, "", problem, change)
