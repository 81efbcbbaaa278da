"""Conditions of Google's workload identity providers, as far as they are of the common forms.

https://cloud.google.com/iam/docs/workload-identity-federation#conditions; the language: https://cel.dev. What is not
understood is told as such: a test without a claim, or None for a whole condition. ``${…}``: what Terraform fills in.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

Op = Literal["==", "startsWith", "endsWith", "contains", "matches", "always", "other"]

MAX_WAYS = 64
"""Ways into a condition; beyond that nobody is helped by looking at each."""

_TOKEN = re.compile(
    r"""(?:\s|//[^\n]*)*(?:
      (?P<string>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d[\w.]*)
    | (?P<template>\$\{(?:[^{}]|\{[^{}]*\})*\})
    | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!()\[\]{}.,?:<>])
    )""",
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
_MAX_DEPTH = 40


class Check(Struct, frozen=True):
    """One claim against some values. claim: its name in the token; empty where it can't be told.

    op: ``==`` has several values for ``in``; ``always`` is true for everybody; ``other`` was not understood.
    """

    claim: str
    op: Op
    values: tuple[str, ...] = ()


Way = tuple[Check, ...]
"""Tests that are all passed by whoever gets in this way."""


class _UnknownError(ValueError):
    pass


def ways(condition: str, mapping: Mapping[str, str] | None = None) -> Sequence[Way] | None:
    """The ways through `condition`, any of which will do; None where it could not be read.

    mapping: of the provider: `attribute.x` and `google.subject` → an expression. Nothing at all lets everybody in.
    """
    if not condition.strip():
        return [(Check("", "always"),)]
    try:
        reader = _Reader(_tokens(condition[:8192]), mapping or {})
        found = reader.either(0)
        return found if reader.is_done() and len(condition) <= 8192 else None
    except _UnknownError:
        return None


def claim_of(expression: str, mapping: Mapping[str, str] | None = None) -> str:
    """The claim that a mapped attribute's `expression` copies; empty for one that computes."""
    try:
        return _claim(_tokens(expression), mapping or {})
    except _UnknownError:
        return ""


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while not _BLANK.fullmatch(text, at):
        match = _TOKEN.match(text, at)
        if not match or not match.lastgroup:
            raise _UnknownError
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]], mapping: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._mapping = mapping
        self._at = 0

    def is_done(self) -> bool:
        return self._at == len(self._tokens)

    def _next(self) -> str:
        kind, text = self._tokens[self._at] if not self.is_done() else ("", "")
        return text if kind == "sign" else ""

    def either(self, depth: int) -> list[Way]:
        found = self._both(depth)
        while self._next() == "||":
            self._at += 1
            found += self._both(depth)
        return _bounded(found)

    def _both(self, depth: int) -> list[Way]:
        found = self._one(depth)
        while self._next() == "&&":
            self._at += 1
            more = self._one(depth)
            found = _bounded([(*a, *b) for a in found for b in more])
        return found

    def _one(self, depth: int) -> list[Way]:
        if depth > _MAX_DEPTH:
            raise _UnknownError
        if self._next() == "!":
            self._at += 1
            self._one(depth + 1)
            return [(Check("", "other"),)]
        if self._next() == "(":
            self._at += 1
            found = self.either(depth + 1)
            if self._next() != ")":
                raise _UnknownError
            self._at += 1
            if self._next() in ("", "&&", "||", ")") and (self.is_done() or self._next()):
                return found
            raise _UnknownError
        return [(_test(self._leaf(), self._mapping),)]

    def _leaf(self) -> list[tuple[str, str]]:
        depth, start = 0, self._at
        while not self.is_done():
            sign = self._next()
            if depth == 0 and sign in ("&&", "||", ")"):
                break
            if sign in ("?", ":"):
                raise _UnknownError  # what is chosen between may be anything
            depth += (sign in ("(", "[", "{") and 1) - (sign in (")", "]", "}") and 1)
            self._at += 1
        if depth or start == self._at:
            raise _UnknownError
        return self._tokens[start : self._at]


def _bounded(found: list[Way]) -> list[Way]:
    if len(found) > MAX_WAYS:
        raise _UnknownError
    return found


def _test(tokens: list[tuple[str, str]], mapping: Mapping[str, str]) -> Check:
    unknown = Check("", "other")
    if tokens == [("word", "true")]:
        return Check("", "always")
    texts = [text for _, text in tokens]
    if ("sign", "==") in tokens:
        at = tokens.index(("sign", "=="))
        left, right = tokens[:at], tokens[at + 1 :]
        if len(left) == 1:
            left, right = right, left
        if len(right) == 1 and right[0][0] == "string" and (claim := _claim(left, mapping)):
            return Check(claim, "==", (_string(right[0][1]),))
        return unknown
    if ("sign", "!=") in tokens:
        at = tokens.index(("sign", "!="))
        left, right = tokens[:at], tokens[at + 1 :]
        if len(left) == 1:
            left, right = right, left
        # Keeps one out and lets all others in.
        but_one = len(right) == 1 and right[0][0] == "string" and _claim(left, mapping)
        return Check("", "always") if but_one else unknown
    if ("word", "in") in tokens:
        at = tokens.index(("word", "in"))
        inner = tokens[at + 2 : -1]
        listed = texts[at + 1 : at + 2] == ["["] and texts[-1] == "]"
        well = all(kind == "string" for kind, _ in inner[::2]) and all(text == "," for _, text in inner[1::2])
        if listed and inner and well and (claim := _claim(tokens[:at], mapping)):
            return Check(claim, "==", tuple(_string(text) for _, text in inner[::2]))
        return unknown
    calls: dict[str, Op] = {"startsWith": "startsWith", "endsWith": "endsWith", "contains": "contains"}
    calls["matches"] = "matches"
    if len(tokens) > 5 and texts[-5] == "." and texts[-3] == "(" and texts[-1] == ")" and tokens[-2][0] == "string":
        op, claim = calls.get(texts[-4]), _claim(tokens[:-5], mapping)
        if op and claim:
            return Check(claim, op, (_string(texts[-2]),))
    return unknown


def _claim(tokens: list[tuple[str, str]], mapping: Mapping[str, str]) -> str:
    """The claim of ``assertion.x``, ``assertion['x']``, and of attributes that are mapped from such."""
    texts = [text for _, text in tokens]
    if len(tokens) == 3 and texts[1] == "." and tokens[2][0] == "word":
        name = texts[2]
    elif len(tokens) == 4 and texts[1] == "[" and texts[3] == "]" and tokens[2][0] == "string":
        name = _string(texts[2])
    else:
        return ""
    if texts[0] in ("assertion", "claims"):  # Google's name of the token, and Anthropic's
        return name
    if texts[0] in ("attribute", "google"):
        return claim_of(str(mapping.get(f"{texts[0]}.{name}", "")), {})
    return ""


def _string(text: str) -> str:
    if text[0] in "rR":
        return text[2:-1]
    if re.search(r"\\[^nrt\\\"'`?]", text):
        raise _UnknownError
    return re.sub(r"\\(.)", lambda match: _ESCAPES[match[1]], text[1:-1])
