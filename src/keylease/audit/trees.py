"""YAML and JSON with lines, whatever is in it: rules look at files that anybody wrote."""

import json
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 60
MAX_NODES = 200_000
"""Of all documents of a text with their aliases followed: an alias bomb ends there."""

_SAFE_NESTING = 1000
"""Signs that begin something nested, of any text that can be composed without a look at its depth first."""


class TreeError(ValueError):
    """The text is no YAML or JSON. line: where, from 1; 0 if not known. The text says what, without quoting it."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


class Tree:
    """A document as plain data: mappings, lists, and every scalar as its text (``on`` and ``true`` are texts too)."""

    __slots__ = ("__weakref__", "_lines", "data")

    def __init__(self, data: Any, lines: dict[tuple[str | int, ...], int]) -> None:
        self.data = data
        self._lines = lines

    def line(self, *path: str | int) -> int:
        """The line of the value at `path` (of its key, in a mapping), or of the nearest thing above that is known."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 0)

    def numbered(self) -> list[list[Any]]:
        """The lines as plain data: ``[line, step, step …]`` each."""
        return [[line, *path] for path, line in self._lines.items()]

    @classmethod
    def of_numbered(cls, data: Any, lines: list[list[Any]]) -> "Tree":
        """The other way round. Raises ValueError for what is no such data."""
        found = {}
        for line, *path in lines:
            if type(line) is not int or not all(type(step) in (str, int) for step in path):
                raise ValueError("lines")
            found[tuple(path)] = line
        return cls(data, found)

    def at(self, *path: str | int) -> Any:
        """The value at `path`, or None."""
        node = self.data
        for step in path:
            listed = isinstance(node, list) and isinstance(step, int) and step < len(node)
            if not listed and not (isinstance(node, dict) and step in node):
                return None
            node = node[step]
        return node


def yaml_trees(text: str, *, intrinsics: bool = False) -> Iterator[Tree]:
    """Each document of a YAML text. Raises :class:`TreeError`.

    intrinsics: CloudFormation's short forms become its long ones: ``!Sub x`` is ``{"Fn::Sub": x}``; and so GitLab's
    ``!reference [a, b]`` is ``{"Fn::reference": [a, b]}``.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if sum(map(text.count, "[{-?")) > _SAFE_NESTING:
            _must_be_shallow(yaml.parse(text, Loader=loader))
        count = 0
        for node in yaml.compose_all(text, Loader=loader):
            lines: dict[tuple[str | int, ...], int] = {}
            plain = _Plain(lines, count, intrinsics=intrinsics)
            yield Tree(plain.of(node, (), 0), lines)
            count = plain.count
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise TreeError(error.problem or "it is no YAML", mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise TreeError("it is no YAML" if isinstance(error, yaml.YAMLError) else "it is nested too deeply") from None


def _must_be_shallow(events: Iterator[Any]) -> None:
    """PyYAML's composer in C recurses, and ends the process where its stack ends: at some 50,000 brackets."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > MAX_DEPTH + 2:  # of the stream and the document
            raise TreeError("it is nested too deeply", event.start_mark.line + 1)


def json_tree(text: str) -> Tree:
    """A JSON text; lines are known where it is YAML as well. Raises :class:`TreeError`."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise TreeError(error.msg, error.lineno) from None
    except RecursionError:
        raise TreeError("it is nested too deeply") from None
    except ValueError:
        raise TreeError("a number in it is too long") from None
    try:
        return next(yaml_trees(text))
    except (TreeError, StopIteration):
        return Tree(_texts(data, 0), {})


class _Plain:
    """count: nodes so far, of the documents before this one too."""

    def __init__(self, lines: dict[tuple[str | int, ...], int], count: int = 0, *, intrinsics: bool = False) -> None:
        self._lines = lines
        self._intrinsics = intrinsics
        self.count = count

    def of(self, node: Any, path: tuple[str | int, ...], depth: int) -> Any:
        value = self._value(node, path, depth)
        if self._intrinsics and node.tag.startswith("!") and len(node.tag) > 1:
            name = node.tag[1:]
            return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}
        return value

    def _value(self, node: Any, path: tuple[str | int, ...], depth: int) -> Any:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise TreeError("it is nested too deeply, or its aliases make it huge", node.start_mark.line + 1)
        if path not in self._lines:
            self._lines[path] = node.start_mark.line + 1
        kind = type(node).__name__
        if kind == "ScalarNode":
            return node.value
        if kind == "SequenceNode":
            return [self.of(each, (*path, number), depth + 1) for number, each in enumerate(node.value)]
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if type(key).__name__ == "ScalarNode" else ""
            if name == "<<" and isinstance(merged := self.of(value, (*path, "<<"), depth + 1), dict):
                found = {**merged, **found}
                continue
            self._lines[(*path, name)] = key.start_mark.line + 1
            found[name] = self.of(value, (*path, name), depth + 1)
        return found


def _texts(node: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise TreeError("it is nested too deeply")
    if isinstance(node, dict):
        return {str(key): _texts(value, depth + 1) for key, value in node.items()}
    if isinstance(node, list):
        return [_texts(value, depth + 1) for value in node]
    if isinstance(node, bool):
        return "true" if node else "false"
    return "" if node is None else str(node).encode("utf-8", "replace").decode()  # JSON can spell half a character
