"""IAM's policy documents as IAM reads them: statements, principals, actions, and whether a condition holds.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

STRINGS = {
    "stringequals": (False, False, False),
    "stringlike": (False, True, False),
    "stringequalsignorecase": (False, False, True),
    "stringnotequals": (True, False, False),
    "stringnotlike": (True, True, False),
    "stringnotequalsignorecase": (True, False, True),
}
"""Operator, in lower case → negated, with wildcards, whatever the case of letters."""

_ESCAPES = {"${*}": "\ue000", "${?}": "\ue001", "${$}": "\ue002"}
_PLAIN = {"\ue000": "*", "\ue001": "?", "\ue002": "$"}
_REFERENCE = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}")


class Test(Struct, frozen=True):
    """One key of one operator of a ``Condition``. operator, key, values: as written.

    base: the operator alone, in lower case. quantifier: ``""``, ``forallvalues`` or ``foranyvalue``.
    """

    operator: str
    base: str
    quantifier: str
    if_exists: bool
    key: str
    values: tuple[str, ...]

    @property
    def negated(self) -> bool:
        """Whether it names what must not be."""
        return STRINGS.get(self.base, (False, False, False))[0]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The values with IAM's escapes and the references of a template made plain; ``*`` and ``?`` are wild in them.

        Of an operator without wildcards they are literal, so none is left.
        """
        wild = STRINGS.get(self.base, (False, False, False))[1]
        settled = (_settled(value) for value in self.values)
        return tuple(value if wild else value.replace("*", "\ue000").replace("?", "\ue001") for value in settled)


class Statement(Struct, frozen=True):
    """index: from 1. principals: (type, value); both ``*`` for everybody."""

    index: int
    sid: str
    effect: str
    principals: tuple[tuple[str, str], ...]
    actions: tuple[str, ...]
    other_actions: tuple[str, ...]
    tests: tuple[Test, ...]

    def covers(self, action: str) -> bool:
        """Whether it is about `action`. Names of actions have no case."""
        if self.other_actions:
            return not any(matches(pattern.lower(), action.lower()) for pattern in self.other_actions)
        return any(matches(pattern.lower(), action.lower()) for pattern in self.actions)

    @property
    def name(self) -> str:
        """How to tell people which it is."""
        return (
            f"statement {self.index} ({self.sid})" if re.fullmatch(r"\w{1,60}", self.sid) else f"statement {self.index}"
        )


def statements(document: Any) -> list[Statement]:
    """Of a policy document, whatever it is. What is no statement is left out."""
    found = document.get("Statement") if isinstance(document, Mapping) else None
    listed = found if isinstance(found, list) else [found]
    return [_statement(each, index) for index, each in enumerate(listed, 1) if isinstance(each, Mapping)]


def holds(test: Test, value: str | None) -> bool | None:
    """Whether it is true of a request where the key has `value`; None: it is absent. Returns None if that isn't known.

    The key is one that has a single value. An absent one: true for negated operators, ``…IfExists`` and
    ``ForAllValues:``, else false; ``ForAnyValue:`` is false whatever follows it.
    """
    if test.base == "null":
        return any(each.lower() == ("true" if value is None else "false") for each in test.values)
    if test.base not in STRINGS:
        return None
    negated, _, caseless = STRINGS[test.base]
    if value is None:
        if test.quantifier:
            return test.quantifier == "forallvalues"
        return test.if_exists or negated
    subject = value.lower() if caseless else value
    found = any(matches(each.lower() if caseless else each, subject) for each in test.patterns)
    return found is not negated


def matches(pattern: str, text: str) -> bool:
    """IAM's wildcards: ``*`` is any text, ``?`` any one character; nothing else is special."""
    return _compiled(pattern).fullmatch(text) is not None


def is_wild(pattern: str) -> bool:
    """Whether a pattern (of :attr:`Test.patterns`) matches more than one text."""
    return "*" in pattern or "?" in pattern


def plain(pattern: str) -> str:
    """The one text that a pattern without wildcards matches."""
    return re.sub("[\ue000-\ue002]", lambda found: _PLAIN[found.group()], pattern)


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *rest = (
        "".join("." if mark == "?" else re.escape(plain(mark)) for mark in part) for part in _split(pattern)
    )
    if not rest:
        return re.compile(first, re.DOTALL)
    # What stands between two * may be taken where it is met first, for good: a hostile pattern stays cheap.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _split(pattern: str) -> list[str]:
    return re.sub(r"\*+", "*", pattern).split("*")


def _settled(value: str) -> str:
    """References such as ``${var.org}`` are texts that nobody here knows, but they are fixed: not wild in any case."""
    for escape, mark in _ESCAPES.items():
        value = value.replace(escape, mark)
    return _REFERENCE.sub(lambda found: re.sub(r"[/:*?\s]", "_", found.group()), value)


def _texts(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list | tuple) else [value]:
        if isinstance(each, bool):
            yield "true" if each else "false"
        elif isinstance(each, str | int | float):
            yield str(each)
        elif isinstance(each, Mapping):
            yield _function(each)


def _function(value: Mapping[Any, Any]) -> str:
    """CloudFormation's long-form functions as text; what can't be known is a reference."""
    name, argument = next(iter(value.items()), ("", ""))
    if name == "Fn::Sub":
        text = argument[0] if isinstance(argument, list) and argument else argument
        return text if isinstance(text, str) else "${Fn_Sub}"
    if name == "Fn::Join" and isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], list):
        return str(argument[0]).join(_texts(argument[1]))
    if name == "Fn::GetAtt" and isinstance(argument, list):
        argument = ".".join(str(each) for each in argument)
    return f"${{{argument if isinstance(argument, str) else name}}}"


def _principals(found: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    if "NotPrincipal" in found:  # everybody but those
        yield "*", "*"
    principal = found.get("Principal")
    if isinstance(principal, Mapping) and not any(str(key).startswith("Fn::") or key == "Ref" for key in principal):
        for kind, value in principal.items():
            yield from ((str(kind), text) for text in _texts(value))
    elif principal is not None:
        yield from (("*", text) for text in _texts(principal))


def _tests(condition: Any) -> Iterator[Test]:
    for operator, keys in condition.items() if isinstance(condition, Mapping) else ():
        quantifier, _, name = str(operator).rpartition(":")
        base = name.strip().lower()
        if if_exists := base.endswith("ifexists"):
            base = base.removesuffix("ifexists")
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            values = tuple(_texts(value))
            yield Test(str(operator), base, quantifier.strip().lower(), if_exists, str(key), values)


def _statement(found: Mapping[Any, Any], index: int) -> Statement:
    return Statement(
        index=index,
        sid=str(found.get("Sid") or ""),
        effect=str(found.get("Effect", "")).lower(),
        principals=tuple(_principals(found)),
        actions=tuple(_texts(found.get("Action", []))),
        other_actions=tuple(_texts(found.get("NotAction", []))),
        tests=tuple(_tests(found.get("Condition"))),
    )
