"""Answers of AWS's Query protocol with lists in them, as plain data, read with distrust.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from typing import Any
from xml.parsers import expat

_DEEPEST = 24
_MOST = 1_000_000


class _RefusedXmlError(ValueError):
    """A document type, a depth or a number of elements that no answer has."""


def tree(body: bytes) -> dict[str, Any]:
    """{name of the root: what is in it}; empty if `body` is not plain XML.

    A leaf is its text; elements called ``member`` make a list, and so do those called ``entry``, under that name; of
    others with one name the last one counts. An empty list can't be told from an empty text: both are ``""``. No
    document type is accepted, so there are no entities.
    """
    top: dict[str, Any] = {}
    stack: list[tuple[str, dict[str, Any], list[Any], list[str]]] = [("", top, [], [])]
    count = 0

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) > _DEEPEST or count > _MOST:
            raise _RefusedXmlError
        stack.append((name.rpartition(":")[2], {}, [], []))

    def end(_name: str) -> None:
        name, fields, members, texts = stack.pop()
        value: Any = members or fields or "".join(texts).strip()
        if name == "entry":
            stack[-1][1].setdefault(name, []).append(value)
        elif name == "member":
            stack[-1][2].append(value)
        else:
            stack[-1][1][name] = value

    def said(data: str) -> None:
        stack[-1][3].append(data)

    def refuse(*_args: object) -> None:
        raise _RefusedXmlError

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = said
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        return {}
    return top
