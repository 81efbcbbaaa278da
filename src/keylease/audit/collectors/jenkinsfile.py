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
    r"[ \t\r]+|(?P<line>\n)|(?P<comment>//[^\n]*|/\*)|(?P<open>'''|\"\"\"|\$/|['\"])|(?P<word>[\w$]+)|."
)
_PLAIN = re.compile(r"[^\\'\"$/\n]+")
_INSIDE = re.compile(r"\$\{[^}\n]{0,200}\}")
_SPAN = re.compile(r"\\.|\$\{([^{}]*)\}|\$([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", re.DOTALL)
_NAME = re.compile(r"(?<![\w.'\"])(?:env\.)?([A-Za-z_]\w*)(?!\w*\s*\()")
_SECRETS = {"passwordVariable", "secretKeyVariable", "accessKeyVariable", "tokenVariable", "clientSecretVariable"}
_TEXTS = {"string", "usernameColonPassword", "file"}
_SERVERS = {name for kind in KINDS for name in kind.endpoints}


class Token(Struct, frozen=True):
    """kind: "word", "sign", "text", or "gstring" for a text whose ``$`` means something."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """All but blanks and comments. A text that is never closed ends with its line, or with the file."""
    position, line = 0, 1
    while found := _TOKEN.match(text, position):
        position = found.end()
        if found["line"]:
            line += 1
        elif found["comment"] == "/*":
            end = text.find("*/", position)
            end = len(text) if end < 0 else end + 2
            line += text.count("\n", position, end)
            position = end
        elif quote := found["open"]:
            end, after = _closed(text, position, quote)
            kind = "text" if quote[0] == "'" else "gstring"
            yield Token(kind, text[position:end], line)
            line += text.count("\n", position, after)
            position = after
        elif not found["comment"] and not found[0].isspace():
            yield Token("word" if found["word"] else "sign", found[0], line)


def _closed(text: str, start: int, quote: str) -> tuple[int, int]:
    """(where the text ends, where it goes on behind it)."""
    close, long = {"$/": "/$"}.get(quote, quote), len(quote) > 1
    position = start
    while position < len(text):
        if found := _PLAIN.match(text, position):
            position = found.end()
        elif text.startswith(close, position):
            return position, position + len(close)
        elif text[position] == "\n" and not long:
            return position, position
        elif text[position] == "\\" and quote != "$/":
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
        if each.kind in ("text", "gstring"):
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
        elif each.kind in ("text", "gstring"):
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
        if each.kind != "gstring" or "$" not in each.text or not (step := _step(found, number)):
            continue
        seen = set()
        for span in _SPAN.finditer(each.text):
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
