"""Writes HCL. https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md

Values come from files that anybody wrote: none can end its quotes, run a function or a directive.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

_SIGNS = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_NAME = re.compile(r"(?!(?:true|false|null|for|if|in)\Z)[A-Za-z_][A-Za-z0-9_-]*\Z")
_REFERENCE = re.compile(r"\$\{ ?[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*|\[(?:\d+|each\.key|count\.index)\])+ ?\}", re.ASCII)
_WIDTH = 100


class Inner(Struct, frozen=True):
    """A block in a block. body: as of :func:`body`."""

    body: Mapping[str, Any]


def quoted(text: str) -> str:
    """A text."""
    return f'"{"".join(map(_sign, template(text)))}"'


def template(text: str) -> str:
    """What stands for `text` in Terraform. ``${…}`` that merely names something (``${var.x}``) stays one."""
    parts, at = [], 0
    for found in _REFERENCE.finditer(text):
        if text[max(0, found.start() - 1) : found.start()] != "$":  # `$${` begins no template
            parts += [_doubled(text[at : found.start()]), found[0]]
            at = found.end()
    return "".join([*parts, _doubled(text[at:])])


def _doubled(text: str) -> str:
    return re.sub(r"[$%](?=\{)", lambda sign: sign[0] * 2, text)


def _sign(sign: str) -> str:
    if sign in _SIGNS or " " <= sign <= "~":
        return _SIGNS.get(sign, sign)
    code = ord(sign)
    if 0xD800 <= code <= 0xDFFF:  # no such sign: HCL is UTF-8
        return "\\ufffd"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def name(text: str) -> str:
    """A key of an object."""
    return text if _NAME.match(text) else quoted(text)


def value(given: Any, indent: str = "") -> str:
    """An expression: of JSON's kinds."""
    if isinstance(given, Mapping):
        return "{\n" + body(given, indent + "  ") + f"\n{indent}}}" if given else "{}"
    if isinstance(given, Sequence) and not isinstance(given, str):
        line = f"[{', '.join(value(each) for each in given)}]"
        if "\n" not in line and len(indent + line) <= _WIDTH:
            return line
        rows = "".join(f"{indent}  {value(each, indent + '  ')},\n" for each in given)
        return f"[\n{rows}{indent}]"
    if isinstance(given, str):
        return given[2:-1].strip() if _REFERENCE.fullmatch(given) else quoted(given)
    if given is None or isinstance(given, bool):
        return {None: "null", True: "true", False: "false"}[given]
    return str(given) if isinstance(given, int | float) else quoted(str(given))


def body(given: Mapping[str, Any], indent: str = "") -> str:
    """Attributes, a line each, and blocks: ``Inner``, or a list of those."""
    rows: list[tuple[str, str]] = []
    for key, each in given.items():
        inner = each if isinstance(each, list) else [each]
        if inner and all(isinstance(one, Inner) for one in inner):
            rows += [("", f"{indent}{key} {{\n{body(one.body, indent + '  ')}\n{indent}}}") for one in inner]
        else:
            rows.append((name(key), value(each, indent)))
    parts: list[str] = []
    # As `terraform fmt` has it: what is on lines in a row stands in columns.
    for whole, group in itertools.groupby(rows, lambda row: not row[0] or "\n" in row[1]):
        listed = list(group)
        width = 0 if whole else min(max(len(key) for key, _ in listed), _WIDTH)
        parts += [f"{indent}{key:{width}} = {text}" if key else text for key, text in listed]
    return "\n".join(parts)


def block(head: Sequence[str], given: Mapping[str, Any]) -> str:
    """A whole block: its type and labels, and what is in it."""
    kind, *labels = head
    return f"{' '.join([kind, *map(quoted, labels)])} {{\n{body(given, '  ')}\n}}"
