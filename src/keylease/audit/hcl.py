"""Reads HCL as far as policies need it: blocks, attributes, and literal values; everything else stays as its text.

The syntax: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md. Nothing is evaluated: an expression that is
no literal is a :class:`Raw`, and who reads it must say that it can't be judged.
"""

import re
from bisect import bisect_right
from typing import Any

from msgspec import Struct, field

MAX_DEPTH = 60


class HclError(ValueError):
    """The text can't be read. line: where, from 1. The text says what, without quoting it."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class Raw(str):
    """The text of an expression that is no literal."""

    __slots__ = ()


class Call(Struct):
    """A function call. text: all of it."""

    name: str
    arguments: list[Any]
    text: str


class Attribute(Struct):
    """value: str (numbers and booleans as their text), list, dict, None, :class:`Raw` or :class:`Call`."""

    value: Any
    line: int


class Block(Struct):
    """``type "label" { … }``. start, end: where its text is."""

    type: str
    labels: list[str]
    line: int
    attributes: dict[str, Attribute] = field(default_factory=dict)
    blocks: list["Block"] = field(default_factory=list)

    def value(self, name: str) -> Any:
        """The value of an attribute; None without it."""
        found = self.attributes.get(name)
        return found.value if found else None

    def of(self, kind: str) -> list["Block"]:
        """Its blocks of one type."""
        return [block for block in self.blocks if block.type == kind]


_SPACE = re.compile(r"(?:[ \t\r]+|/\*.*?\*/)*", re.DOTALL)
_BLANK = re.compile(r"(?:\s+|(?:#|//)[^\n]*|/\*.*?\*/)*", re.DOTALL)
_COMMENT = re.compile(r"(?:#|//)[^\n]*")
_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_REST = re.compile(r"(?:\.[\w*-]+|\[[^\[\]\n]*\])*")
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w-]*)[ \t\r]*\n")
_PLAIN = re.compile(r'[^"\\$%\n]+')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse(text: str) -> Block:
    """A file, as a block without a type. Raises :class:`HclError`."""
    reader = _Reader(text.removeprefix("\ufeff"))
    root = Block("", [], 1)
    try:
        reader.body(root, 0)
    except RecursionError:
        raise HclError("it is nested too deeply", 0) from None
    return root


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def _line(self, at: int | None = None) -> int:
        return bisect_right(self._starts, self._at if at is None else at)

    def _fail(self, what: str, at: int | None = None) -> HclError:
        return HclError(what, self._line(at))

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _peek(self, length: int = 1) -> str:
        return self._text[self._at : self._at + length]

    def body(self, block: Block, depth: int) -> None:
        """Everything up to the closing brace, or to the end of the file."""
        if depth > MAX_DEPTH:
            raise self._fail("it is nested too deeply")
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                if depth:
                    raise self._fail("a block is not closed")
                return
            if depth and self._peek() == "}":
                self._at += 1
                return
            self._item(block, depth)

    def _item(self, block: Block, depth: int) -> None:
        line = self._line()
        name = self._label()
        self._skip(_SPACE)
        if self._peek() == "=" and self._peek(2) != "==":
            self._at += 1
            self._skip(_SPACE)
            if name in block.attributes:
                raise self._fail("an attribute is there twice")
            block.attributes[name] = Attribute(self._expression(depth + 1, "\n}"), line)
            return
        child = Block(name, [], line)
        while self._peek() not in ("{", ""):
            child.labels.append(self._label())
            self._skip(_SPACE)
        if self._peek() != "{":
            raise self._fail("a block has no body")
        self._at += 1
        self.body(child, depth + 1)
        block.blocks.append(child)

    def _label(self) -> str:
        if self._peek() == '"':
            return str(self._string())
        match = _NAME.match(self._text, self._at)
        if not match:
            raise self._fail("a name is expected here")
        self._at = match.end()
        return match[0]

    def _expression(self, depth: int, ends: str) -> Any:
        """A value. ends: characters that may follow it; a newline among them, or else lines don't matter."""
        if depth > MAX_DEPTH:
            raise self._fail("it is nested too deeply")
        start = self._at
        value = self._primary(depth)
        end = self._at
        self._skip(_SPACE if "\n" in ends else _BLANK)
        if "\n" in ends:
            self._skip(_COMMENT)
        if self._at >= len(self._text) or self._peek() in ends or self._text.startswith("<<", start):
            return value
        self._at = end
        self._to_end(ends)
        return Raw(self._text[start : self._at].strip())

    def _primary(self, depth: int) -> Any:
        first = self._peek()
        if first == '"':
            return self._string()
        if first == "[":
            return self._list(depth)
        if first == "{":
            return self._object(depth)
        if heredoc := _HEREDOC.match(self._text, self._at):
            return self._heredoc(heredoc)
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return number[0]
        start = self._at
        name = _NAME.match(self._text, self._at)
        if not name:
            if first in ("(", "!", "-"):
                return Raw("")  # whatever follows is taken as text
            raise self._fail("a value is expected here")
        self._at = name.end()
        if self._peek() == "(":
            self._at += 1
            arguments = self._items(depth, ")")
            return Call(name[0], arguments, self._text[start : self._at])
        self._skip(_REST)
        text = self._text[start : self._at]
        return {"true": "true", "false": "false", "null": None}.get(text, Raw(text))

    def _items(self, depth: int, closing: str) -> list[Any]:
        found: list[Any] = []
        while True:
            self._skip(_BLANK)
            if self._peek() == closing:
                self._at += 1
                return found
            found.append(self._expression(depth + 1, "," + closing))
            self._skip(_BLANK)
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != closing:
                raise self._fail("a list is not closed")

    def _list(self, depth: int) -> Any:
        start = self._at
        self._at += 1
        if re.compile(r"\s*for\s").match(self._text, self._at):
            return self._balanced(start)
        return self._items(depth, "]")

    def _object(self, depth: int) -> Any:
        start = self._at
        self._at += 1
        if re.compile(r"\s*for\s").match(self._text, self._at):
            return self._balanced(start)
        found: dict[str, Any] = {}
        while True:
            self._skip(_BLANK)
            if self._peek() == "}":
                self._at += 1
                return found
            key = self._key()
            self._skip(_SPACE)
            if self._peek() not in ("=", ":"):
                raise self._fail("a value is expected here")
            self._at += 1
            self._skip(_BLANK)
            found[key] = self._expression(depth + 1, "\n,}")
            self._skip(_BLANK)
            if self._peek() == ",":
                self._at += 1
            elif not self._peek():
                raise self._fail("an object is not closed", start)

    def _key(self) -> str:
        if self._peek() == "(":
            start = self._at
            self._balanced(start)
            inner = self._text[start + 1 : self._at - 1].strip()
            literal = re.fullmatch(r'"([^"\\$%]*)"', inner)
            return literal[1] if literal else f"${{{inner}}}"
        return self._label()

    def _string(self) -> str:
        start = self._at
        self._at += 1
        parts: list[str] = []
        raw = False
        while True:
            if plain := _PLAIN.match(self._text, self._at):
                parts.append(plain[0])
                self._at = plain.end()
            two, one = self._peek(2), self._peek()
            if one == '"':
                self._at += 1
                return Raw(self._text[start : self._at]) if raw else "".join(parts)
            if one in ("", "\n"):
                raise self._fail("a text is not closed", start)
            if one == "\\":
                parts.append(self._escape())
            elif self._peek(3) in ("$${", "%%{"):
                parts.append(self._peek(3)[1:])
                self._at += 3
            elif two in ("${", "%{"):
                raw = raw or two == "%{"
                at = self._at
                self._at += 1
                self._balanced(self._at)
                parts.append(self._text[at : self._at])
            else:
                parts.append(one)
                self._at += 1

    def _escape(self) -> str:
        code = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|(.))", re.DOTALL)
        match = code.match(self._text, self._at)
        if not match or (match[3] and match[3] not in _ESCAPES):
            raise self._fail("an escape is not known")
        self._at = match.end()
        return _ESCAPES[match[3]] if match[3] else chr(int(match[1] or match[2], 16))

    def _heredoc(self, opening: re.Match[str]) -> str:
        closing = re.compile(rf"^[ \t]*{re.escape(opening[2])}[ \t\r]*$", re.MULTILINE)
        end = closing.search(self._text, opening.end())
        if not end:
            raise self._fail("a heredoc is not closed")
        body = self._text[opening.end() : end.start()]
        self._at = end.end()
        if opening[1]:
            import textwrap

            body = textwrap.dedent(body)
        if re.search(r"(?<!%)%\{", body):
            return Raw(body)
        return body.replace("$${", "${").replace("%%{", "%{")

    def _balanced(self, start: int) -> Raw:
        """From an opening bracket to behind its closing one."""
        self._at = start
        expected: list[str] = []
        while self._at < len(self._text):
            character = self._peek()
            if character == '"':
                self._string()
                continue
            self._at += 1
            if character in _CLOSING:
                expected.append(_CLOSING[character])
                if len(expected) > MAX_DEPTH:
                    raise self._fail("it is nested too deeply")
            elif character in ")]}":
                if expected.pop() != character:
                    break
                if not expected:
                    return Raw(self._text[start : self._at])
        raise self._fail("a bracket is not closed", start)

    def _to_end(self, ends: str) -> None:
        """To the character that ends the expression, whatever is in it."""
        while self._at < len(self._text):
            character = self._peek()
            if character in ends:
                return
            if character in _CLOSING:
                self._balanced(self._at)
            elif character == '"':
                self._string()
            elif character in ")]}":
                raise self._fail("a bracket is closed that was not opened")
            elif comment := _COMMENT.match(self._text, self._at):
                self._at = comment.end()
            else:
                self._at += 1
