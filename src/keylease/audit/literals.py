"""Credentials that stand in a file in clear, told by their vendor's exact form. No value leaves here."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from keylease.audit.trees import Tree

_ENOUGH = 8
"""Different signs that a real one has at least; a placeholder (``ghp_xxxxxxxx``) has fewer."""

_FORMS: Sequence[tuple[str, str]] = (
    ("AWS access key id", r"(?P<p>AKIA)[A-Z2-7]{16}"),
    ("Anthropic key", r"(?P<p>sk-ant-(?:api|admin|oat)\d\d-)[\w-]{80,}"),
    ("OpenRouter key", r"(?P<p>sk-or-v1-)[0-9a-f]{64}"),
    ("OpenAI key", r"(?P<p>sk-(?:proj|svcacct|admin)-)[\w-]{40,}"),
    ("OpenAI key", r"(?P<p>sk-)[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    ("Hugging Face token", r"(?P<p>hf_)[A-Za-z]{34}"),
    ("Pinecone key", r"(?P<p>pcsk_)[A-Za-z0-9]{4,8}_[A-Za-z0-9]{50,}"),
    ("Databricks token", r"(?P<p>dapi)[0-9a-f]{32}(?:-\d)?"),
    ("Vault token", r"(?P<p>hv[sb]\.)[\w-]{24,}"),
    ("GitHub token", r"(?P<p>gh[pousr]_)[A-Za-z0-9]{36,}"),
    ("GitHub token", r"(?P<p>github_pat_)[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    ("GitLab token", r"(?P<p>gl(?:pat|dt|rt|ptt|cbt|ft|agent|oas|soat)-)[\w-]{20,}(?:\.[\w.]{10,})?"),
    ("Slack token", r"(?P<p>xox[abprs]-)\d{8,}-[\w-]{20,}"),
    ("Stripe key", r"(?P<p>[sr]k_live_)[A-Za-z0-9]{24,}"),
    ("Google API key", r"(?P<p>AIza)[\w-]{35}"),
    ("npm token", r"(?P<p>npm_)[A-Za-z0-9]{36}"),
    ("PyPI token", r"(?P<p>pypi-AgE)[\w-]{50,}"),
    ("Docker token", r"(?P<p>dckr_(?:pat|oat)_)[\w-]{27,}"),
    ("SendGrid key", r"(?P<p>SG\.)[\w-]{22}\.[\w-]{43}"),
    ("private key", r"(?P<p>-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----)(?:\s|\\[nr])(?:[A-Za-z0-9+/=\s]|\\[nr]){64,}"),
)
_PATTERNS = [(what, re.compile(rf"(?<![\w.-]){form}(?![\w-])")) for what, form in _FORMS]
_HINT = re.compile(
    r"AKIA|sk-|hf_|pcsk_|dapi|hv[sb]\.|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox|k_live_|AIza|npm_|pypi-|dckr_|SG\.|-----B"
)
MAY_HOLD = re.compile(rb"(?<![\w.-])(?:" + _HINT.pattern.encode() + rb")|(?i:AWS_SECRET)")
"""What a file has in it that holds any of them, as bytes."""

_AWS_SECRET = re.compile(r"[A-Za-z0-9/+]{40}")
_NAMES_AWS_SECRET = re.compile(r"AWS_SECRET_(?:ACCESS_)?KEY", re.IGNORECASE)


class Literal(Struct, frozen=True):
    """One in clear. what: whose. prefix: its public beginning; length: of all. path: in the tree. number: there."""

    what: str
    prefix: str
    length: int
    path: tuple[str | int, ...]
    line: int
    number: int


def literals(tree: Tree) -> Iterator[Literal]:
    """All that stand in a document's values."""
    for path, text in _scalars(tree.data, ()):
        name = "" if not path else str(path[-2] if len(path) > 1 and path[-1] == "value" else path[-1])
        for count, (what, prefix, length, offset) in enumerate(_in(text, name)):
            line = tree.line(*path) + (1 + text.count("\n", 0, offset) if "\n" in text[:-1] else 0)
            yield Literal(what, prefix, length, path, line, count)


class Found(Struct, frozen=True):
    """One in a text. what: whose. prefix: its public beginning. value: all of it; it must be sealed at once."""

    what: str
    prefix: str
    value: str

    def __repr__(self) -> str:
        return f"<Found {self.what}>"


def credentials_in(text: str, name: str) -> Iterator[Found]:
    """All in the value of a variable called `name`."""
    for what, prefix, length, start in _in(text, name):
        yield Found(what, prefix, text[start : start + length])


def _in(text: str, name: str) -> Iterator[tuple[str, str, int, int]]:
    if _NAMES_AWS_SECRET.search(name) and _AWS_SECRET.fullmatch(text) and _real(text):
        yield "AWS secret access key", "", len(text), 0
    if not _HINT.search(text):
        return
    for what, pattern in _PATTERNS:
        for found in pattern.finditer(text):
            if _real(found[0][len(found["p"]) :]):
                yield what, found["p"], len(found[0]), found.start()


def hidden(text: str, name: str = "") -> str:
    """`text` with every credential made useless: each sign by another one of its sort, so that its form stays.

    A snapshot is judged as the file was, and opens nothing. name: of the value, as in a file.
    """
    if _NAMES_AWS_SECRET.search(name) and _AWS_SECRET.fullmatch(text) and _real(text):
        return _replaced(text)
    if not _HINT.search(text):
        return text
    for _, pattern in _PATTERNS:
        text = pattern.sub(
            lambda found: (
                found["p"] + _replaced(found[0][len(found["p"]) :]) if _real(found[0][len(found["p"]) :]) else found[0]
            ),
            text,
        )
    return text


_FIXED = "T3BlbkFJ"
"""In the middle of OpenAI's older keys, always the same."""


def _replaced(text: str) -> str:
    """Other signs of the same sorts, in an order that has nothing of `text`."""
    if _FIXED in text:
        return _FIXED.join(map(_replaced, text.split(_FIXED)))
    found = []
    for number, sign in enumerate(text):
        if number and text[number - 1] == "\\":  # the end of a line, as JSON writes it
            found.append(sign)
            continue
        sort = next((each for each in _OF if sign in each[0]), None)
        found.append(sort[1][number % len(sort[1])] if sort else sign)
    return "".join(found)


_OF = (
    ("abcdef", "bdfeac"),
    ("ghijklmnopqrstuvwxyz", "gkmqtwzhnrv"),
    ("ABCDEF", "BDFEAC"),
    ("GHIJKLMNOPQRSTUVWXYZ", "GKMQTWZHNRV"),
    ("234567", "246753"),
    ("0189", "98"),
)
"""(signs of one sort, what stands for them): sorts that no form tells apart further (hex, base32)."""


def _real(text: str) -> bool:
    """Whether it isn't what documentation writes in a credential's place."""
    upper = text.upper()
    placeholder = any(word in upper for word in ("EXAMPLE", "XXXX", "0000000", "1234567", "ABCDEFG", "PLACEHOLDER"))
    return len(set(text)) >= _ENOUGH and not placeholder


_STANDS_FOR = re.compile(
    r"<[^<>\n]*>|\$\{[^{}\n]*\}|\$\([^()\n]*\)|(?-i:\$[A-Z_][A-Z0-9_]*|%[A-Z_]+%|@[A-Z_]+@)|\{\{.*\}\}|__\w+__"
    r"|[*.x#-]+|ENC\[.*|(?:ref\+|op://|vault:|secretref[:+]|awssm:|gcpsm:|azurekeyvault:).*"
    r"|(?:null|none|nil|todo|tbd|redacted|dummy|fake|foo|bar|changeme)",
    re.IGNORECASE | re.DOTALL,
)
_SAYS_SO = re.compile(
    r"change[-_ ]?me|change[-_ ]?it|replace[-_ ]?(?:me|this|with)|to[-_ ]be[-_ ](?:replaced|filled|set)"
    r"|place[-_ ]?holder|example|your[-_ ]|insert[-_ ]|fill[-_ ]?(?:me|in)|redacted|dummy|xxxx"
    r"|not[-_ ]?(?:a[-_ ])?real|\btodo\b",
    re.IGNORECASE,
)


def is_placeholder(text: str) -> bool:
    """Whether `text` stands where a credential must be put, or refers to one: ``<KEY>``, ``${KEY}``, ``changeme``."""
    text = text.strip()
    return bool(_STANDS_FOR.fullmatch(text) or (len(text) <= 200 and _SAYS_SO.search(text)))


def _scalars(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _scalars(value, (*path, key))
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from _scalars(each, (*path, number))
    elif isinstance(node, str) and len(node) >= 20:
        yield path, node
