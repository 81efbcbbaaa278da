"""Jenkinsfiles as far as rules need them: strings, the variables that credentials are bound to, what steps are given.

Groovy is neither run nor parsed: its strings, comments and brackets are told apart in one pass, as in
https://groovy-lang.org/syntax.html, chapters 1 and 4. No value is kept.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from msgspec import Struct

from keylease.audit.federated import KINDS
from keylease.audit.jenkinsfiles import VENDORS
from keylease.audit.literals import credentials_in

STEPS = {"sh", "bat", "powershell", "pwsh"}
"""Those that run a script: https://www.jenkins.io/doc/pipeline/steps/workflow-durable-task-step/."""

_TOKEN = re.compile(
    r"[ \t\r]+|(?P<line>\n)|(?P<comment>//[^\n]*|/\*)|(?P<open>'''|\"\"\"|['\"])|(?P<slashy>\$/|/)|(?P<word>[\w$]+)|."
)
_PLAIN = re.compile(r"[^\\'\"$/\n]+")
_GOES_ON = {"return", "case", "in", "else", "assert", "throw", "do", "instanceof", "as", "new"}
"""Words after which an expression comes: a slash behind any other one divides."""

_SLASHY = {"/": "slashy", "$/": "dollar"}
_ESCAPED = {"slashy": ("\\/",), "dollar": ("$$", "$/")}
"""All else stands for itself: https://groovy-lang.org/syntax.html#_slashy_string."""

MAX_SIGNS = 256 * 1024
"""Of a file. Jenkins can't compile a script of nearly that size: a JVM's method ends at 64 KiB."""

_IN_SLASHY = re.compile(r"[\\$/]")
_INSIDE = re.compile(r"\$\{[^}\n]{0,200}\}")
_VALUE = r"\$\{([^{}]*)\}|\$([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
_SPAN = {
    "gstring": re.compile(rf"\\.|{_VALUE}", re.DOTALL),
    "slashy": re.compile(_VALUE),
    "dollar": re.compile(rf"\$\$|{_VALUE}"),
}
"""What is put into a text when it is used, by the kind of text; a match without a group is an escape."""

_TEXT = {"text", *_SPAN}
_NAME = re.compile(r"(?<![\w.'\"])(?:env\.)?([A-Za-z_]\w*)(?!\w*\s*\()")
_SECRETS = {"passwordVariable", "secretKeyVariable", "accessKeyVariable", "tokenVariable", "clientSecretVariable"}
_TEXTS = {"string", "usernameColonPassword", "file"}
_SERVERS = {name for kind in KINDS for name in kind.endpoints}


class Token(Struct, frozen=True):
    """kind: "word", "sign", "text"; "gstring", "slashy" or "dollar" for a text whose ``$`` means something."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """All but blanks and comments. A text that is never closed ends with its line, or with the file."""
    position, line = 0, 1
    before: tuple[str, str] = ("", "")
    slashes = {"/", "$/"}  # those that can begin a text: one that is never closed is none, nor is any behind it
    while found := _TOKEN.match(text, position):
        position = found.end()
        each = None
        slash = found["slashy"]
        end, after = -1, 0
        if slash in slashes and not _ends_expression(before):
            end, after = _slashy(text, position, slash)
            if end < 0:
                slashes = slashes - {slash}
        if found["line"]:
            line += 1
            before = ("", "")
        elif found["comment"] == "/*":
            end = text.find("*/", position)
            end = len(text) if end < 0 else end + 2
            line += text.count("\n", position, end)
            position = end
        elif end >= 0 and slash:
            each = Token(_SLASHY[slash], text[position:end], line)
        elif quote := found["open"]:
            end, after = _closed(text, position, quote)
            each = Token("text" if quote[0] == "'" else "gstring", text[position:end], line)
        elif not found["comment"] and not found[0].isspace():
            each = Token("word" if found["word"] else "sign", found[0], line)
        if each:
            yield each
            before = (each.kind, (before[1] + each.text)[-2:] if each.kind == "sign" else each.text)
            if each.kind in _TEXT:
                line += text.count("\n", position, after)
                position = after


def _ends_expression(before: tuple[str, str]) -> bool:
    """Whether a slash behind this (kind, text; of signs the last two) divides, as Groovy's lexer has it."""
    kind, text = before
    if kind == "word":
        return text not in _GOES_ON
    return kind in _TEXT or text in ("++", "--") or text[-1:] in (")", "]", "}")


def _slashy(text: str, start: int, quote: str) -> tuple[int, int]:
    """As :func:`_closed`, for texts that begin with a slash; (-1, 0) where it is never closed."""
    escaped = _ESCAPED[_SLASHY[quote]]
    position = start
    while found := _IN_SLASHY.search(text, position):
        position = found.start()
        if text.startswith(escaped, position):
            position += 2
        elif text.startswith("${", position):
            inside = _INSIDE.match(text, position)
            position = inside.end() if inside else position + 1
        elif quote == "/" and text[position] == "/":
            return position, position + 1
        # "/$$" is a slash and a dollar.
        elif quote == "$/" and text.startswith("/$", position) and not text.startswith("/$$", position):
            return position, position + 2
        else:
            position += 1
    return -1, 0


def _closed(text: str, start: int, quote: str) -> tuple[int, int]:
    """(where the text ends, where it goes on behind it)."""
    long = len(quote) > 1
    position = start
    while position < len(text):
        if found := _PLAIN.match(text, position):
            position = found.end()
        elif text.startswith(quote, position):
            return position, position + len(quote)
        elif text[position] == "\n" and not long:
            return position, position
        elif text[position] == "\\":
            position += 2
        elif quote[0] == '"' and text.startswith("${", position):
            # Quotes inside ${…} are the expression's own.
            inside = _INSIDE.match(text, position)
            position = inside.end() if inside else position + 1
        else:
            position += 1
    return len(text), len(text)


def facts_of(text: str) -> dict[str, Any]:
    """secrets: {name, credential, binding, line}; interpolated: {name, step, line};
    literals: {what, prefix, length, line}; servers: names of variables that send a vendor's credential elsewhere.
    """
    found = list(tokens(text))
    secrets = list(_bound(found))
    own = {each.text for before, each in pairwise(found) if before.text in ("def", "String")}
    names = {secret["name"] for secret in secrets if secret["binding"] != "file"} - own
    names |= {f"{name}_PSW" for name in names}
    literals: list[dict[str, Any]] = []
    for number, each in enumerate(found):
        if each.kind in _TEXT:
            named = found[number - 2].text if number > 1 and found[number - 1].text in ("=", ":") else ""
            literals += [
                {"what": form.what, "prefix": form.prefix, "length": len(form.value), "line": each.line}
                for form in credentials_in(each.text, named[:100])
            ]
    return {
        "secrets": secrets,
        "interpolated": list(_interpolated(found, names)),
        "literals": literals,
        "servers": sorted(name for name in _SERVERS if name in text),
    }


def _bound(found: list[Token]) -> Iterator[dict[str, Any]]:
    groups: list[tuple[str, list[tuple[str, str, int]]]] = []
    for number, each in enumerate(found):
        before = found[number - 1] if number else Token("sign", "", 0)
        if each.kind == "sign" and each.text in "([":
            groups.append((before.text if before.kind == "word" else "", []))
        elif each.kind == "sign" and each.text in ")]" and groups:
            call, given = groups.pop()
            values = {name: value for name, value, _ in given}
            binding = values.get("$class", call)
            credential = values.get("credentials" if call == "withAWS" else "credentialsId", "")
            if not credential and before.kind == "text" and found[number - 2].text == "(":
                credential = before.text[:200]
            variables = [each for each in given if each[0] in _SECRETS or (each[0] == "variable" and call in _TEXTS)]
            if binding in VENDORS and credential and not variables and "endpointUrl" not in values:
                variables = [("", VENDORS[binding], each.line)]
            for _, name, line in variables:
                yield {"name": name, "credential": credential, "binding": binding, "line": line}
        elif each.kind in _TEXT:
            if groups and before.text == ":" and number > 1:
                groups[-1][1].append((found[number - 2].text, each.text[:200], each.line))
            head = [token.text for token in found[max(number - 4, 0) : number]]
            if len(head) == 4 and head[1:] == ["=", "credentials", "("]:
                yield {
                    "name": head[0][:200],
                    "credential": each.text[:200],
                    "binding": "",
                    "line": found[number - 4].line,
                }


def _interpolated(found: list[Token], secrets: set[str]) -> Iterator[dict[str, Any]]:
    for number, each in enumerate(found):
        if each.kind not in _SPAN or "$" not in each.text or not (step := _step(found, number)):
            continue
        seen = set()
        for span in _SPAN[each.kind].finditer(each.text):
            for name in _NAME.findall(span[1] or span[2] or ""):
                if name in secrets and name not in seen:
                    seen.add(name)
                    line = each.line + each.text.count("\n", 0, span.start())
                    yield {"name": name, "step": step, "line": line}


def _step(found: list[Token], number: int) -> str:
    """The step whose script the text is; empty: of none that is known."""
    before = [token.text if token.kind != "text" else "" for token in found[max(number - 12, 0) : number]]
    if before[-2:] == ["script", ":"]:
        named = [word for word in before[:-2] if word in STEPS]
        return named[-1] if named and not {"{", "}", ";"} & set(before[before.index(named[-1]) :]) else ""
    if before[-1:] == ["("]:
        before.pop()
    return before[-1] if before and before[-1] in STEPS else ""
