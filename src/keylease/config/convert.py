"""A YAML tree into typed settings, with every complaint at its line."""

import re
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from keylease.config.values import nearest, seconds
from keylease.config.yamltree import Node, fail, shown
from keylease.errors import UsageError
from keylease.secret import Secret

T = TypeVar("T")

_WORDS = {
    "str": "text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}

_WRITE = {
    "bool": "write true or false, without quotes",
    "int": "write a whole number, without quotes or unit",
    "float": "write a number, without quotes",
    "array": "write a list: [A, B], or lines that start with -",
    "object": "write KEY: VALUE lines, each indented below it",
}
"""What to write instead of something of another type."""

_GOT = _WORDS | {"float": "a decimal number", "bool": "true or false"}


def fields_of(struct: type) -> dict[str, Any]:
    """Key in the file → its type, of a msgspec Struct."""
    hints = typing.get_type_hints(struct)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


def is_a(hint: Any, wanted: Any) -> bool:
    """Whether `wanted` is `hint` or one of its alternatives."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(is_a(part, wanted) for part in typing.get_args(hint))
    return bool(hint == wanted)


def struct(node: Node, wanted: type[T], source: str, path: str, given: Mapping[str, Any] | None = None) -> T:
    """`node` as a `wanted`, a msgspec Struct. `given` are values that take the place of the file's.

    Raises :class:`UsageError` with file, line and key.
    """
    data = mapping(node, source, path)
    fields = fields_of(wanted)
    unknown(node, fields, source, path)
    for key, child in data.items():
        _unknown_below(child, fields[key], source, _join(path, key))
    values = {key: child.plain for key, child in data.items()}
    for key, child in data.items():
        hint = fields[key]
        if is_a(hint, float) and not is_a(hint, str) and isinstance(child.value, str):
            try:
                values[key] = seconds(child.value)
            except ValueError as error:
                raise fail(source, node.lines[key], _join(path, key), f"must be {error}") from None
        if isinstance(child.value, dict) and is_a(hint, dict[str, str]):
            # msgspec does not say which entry of a mapping is wrong.
            for name, item in child.value.items():
                if not isinstance(item.value, str):
                    where = f"{_join(path, key)}.{shown(name)}"
                    raise fail(source, child.lines[name], where, f"must be text, not {item.kind}", _quotes(item))
    values.update(given or {})
    try:
        return msgspec.convert(values, wanted, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(str(error), node, fields, source, path) from None


def mapping(node: Node, source: str, path: str) -> dict[str, Node]:
    """The children of a mapping. Raises :class:`UsageError` if it is something else."""
    if not isinstance(node.value, dict):
        raise fail(source, node.line, path, f"must be a mapping (KEY: VALUE), not {node.kind}", _WRITE["object"])
    return node.value


def sequence(node: Node, source: str, path: str) -> list[Node]:
    """The items of a list. Raises :class:`UsageError` if it is something else."""
    if not isinstance(node.value, list):
        raise fail(
            source, node.line, path, f"must be a list (lines that start with -), not {node.kind}", _WRITE["array"]
        )
    return node.value


def unknown(node: Node, known: Mapping[str, Any], source: str, path: str) -> None:
    """Raise for the first key that is not known, with the nearest one that is."""
    for key in node.value:
        if key not in known:
            near = nearest(key, known)
            raise fail(
                source,
                node.lines[key],
                _join(path, shown(key)),
                "unknown key",
                f"remove it, or use one of: {', '.join(known)}",
                f"did you mean {near!r}?" if near else "",
            )


def _unknown_below(node: Node, hint: Any, source: str, path: str) -> None:
    # msgspec names neither the line of such a key nor the entry of a mapping that it stands in.
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    if isinstance(node.value, list):
        for part in typing.get_args(hint) if is_union else (hint,):
            for number, child in enumerate(node.value if typing.get_origin(part) is list else ()):
                _unknown_below(child, typing.get_args(part)[0], source, f"{path}[{number}]")
    if not isinstance(node.value, dict):
        return
    for part in typing.get_args(hint) if is_union else (hint,):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            fields = fields_of(part)
            unknown(node, fields, source, path)
            for key, child in node.value.items():
                _unknown_below(child, fields[key], source, _join(path, key))
        elif typing.get_origin(part) is dict:
            for key, child in node.value.items():
                _unknown_below(child, typing.get_args(part)[1], source, _join(path, shown(key)))


def _explained(message: str, node: Node, fields: Mapping[str, Any], source: str, path: str) -> UsageError:
    found = re.fullmatch(r"(?s)(?P<what>.*?)(?: - at `\$?(?P<at>[^`]*)`)?", message)
    what, at = (found["what"], found["at"] or "") if found else (message, "")
    at = at.replace("[...]", "")
    line = node.line_of(at)
    key = at.removeprefix(".")
    where = path + at if path else key
    change = ""
    choices = _choices(fields.get(key.partition(".")[0].partition("[")[0]))
    one_of = f"use one of: {', '.join(choices)}" if choices else ""
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return fail(source, line, _join(where, missing[1]), "is missing", f"add `{missing[1]}:`")
    if wrong := re.fullmatch(r"Expected `(.*)`, got `(.*)`", what):
        expected = [part for part in wrong[1].split(" | ") if part != "null"]
        what = f"must be {' or '.join(_WORDS.get(p, p) for p in expected)}, not {_GOT.get(wrong[2], wrong[2])}"
        if choices:
            change = one_of
        elif "str" in expected and wrong[2] in ("int", "float", "bool"):
            change = "put the value in quotes"
        else:
            change = next((_WRITE[each] for each in expected if each in _WRITE), "")
    elif what.startswith("Invalid enum value"):
        what, change = "is not one of the values it can have", one_of
    elif limit := re.fullmatch(r"Expected `(\w+)` (>=|<=|>|<) (\S+)", what):
        sign = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}[limit[2]]
        what = f"must be {sign} {limit[3].removesuffix('.0')}"
    elif what == "Expected `str` matching regex '^[a-z0-9-]+$'":
        what, change = "must be of a-z, 0-9 and - only", "a name like ml-prod: its ledger is called after it"
    elif re.fullmatch(r"Expected `(\w+)` of length >= 1", what):
        what = "must not be empty"
    return fail(source, line, where, what, change)


def _choices(hint: Any) -> list[str]:
    if typing.get_origin(hint) is typing.Literal:
        return [str(choice) for choice in typing.get_args(hint)]
    return [choice for part in typing.get_args(hint) for choice in _choices(part)]


def _quotes(node: Node) -> str:
    return "put the value in quotes" if isinstance(node.value, bool | int | float) else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def is_secret(hint: Any) -> bool:
    """Whether a setting of this type holds a secret value."""
    return is_a(hint, Secret)
