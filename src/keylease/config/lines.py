"""The line syntax of vault-action's ``secrets`` input: ``PATH FIELD | NAME ;``.

As vault-action v3.4.0 reads it (src/action.js, parseSecretsInput; src/secrets.js), so that moving over is one line.
What differs, on purpose:

- A quoted field with dots (``"a.b"``) is that one field. vault-action drops the quotes and then looks for b in a.
- JSONata beyond paths is refused; there it is an expression, or, without a dot in it, a literal field name.
- Two lines that set the same name are an error, not "the last one wins" (:mod:`keylease.config.assemble`).
"""

import re
from collections.abc import Iterator

from keylease.config import selector
from keylease.errors import UsageError
from keylease.model import Deliver, Origin, Read, normalised

_EXAMPLE = "secret/data/ci npmToken | NPM_TOKEN ;"


def parse(text: str, source: str, *, provider: str = "vault", scheme: str = "vault") -> list[Deliver]:
    """One :class:`Deliver` per request in `text`, both variable and output, in the order written.

    source: what the text is called in messages (``secrets``). provider: whose lease reads them. Raises
    :class:`UsageError` naming the line; no message quotes more of it than a path.
    """
    return [_request(request, Origin(source, line), provider, scheme) for line, request in _requests(text)]


def _requests(text: str) -> Iterator[tuple[int, str]]:
    line = 1
    for part in text.split(";"):
        request = part.strip()
        if request:
            yield line + part[: len(part) - len(part.lstrip())].count("\n"), request
        line += part.count("\n")


def _request(request: str, origin: Origin, provider: str, scheme: str) -> Deliver:
    spec, bar, name = request.rpartition("|")
    if not bar:
        spec = request
    words, name = spec.split(), name.strip() if bar else ""
    if bar and not name:
        raise _error(origin, "there is no name after the |")
    if len(words) != 2:
        raise _error(
            origin, f"a path and a field are wanted, there {_counted(len(words))}", _missing_semicolon(request)
        )
    path, field = words
    if re.search(r"\s", name):
        raise _error(origin, "a name has no spaces in it", _missing_semicolon(request))
    read = Read(provider, scheme, *_path(path, origin))
    if field in ("*", "**"):
        return Deliver(read, "*" if field == "*" else "**", name, output=True, origin=origin)
    try:
        steps = selector.parse(field)
    except selector.SelectorError as error:
        raise _error(origin, f"the field is {error}", change=selector.SYNTAX) from None
    if name:
        return Deliver(read, steps, name, output=True, origin=origin)
    return Deliver(read, steps, *_default_names(field, origin), origin=origin)


def _default_names(field: str, origin: Origin) -> tuple[str, bool, bool, str]:
    # vault-action takes a name from a path or a quoted string only: in JSONata `my-key` is a subtraction and
    # `list[0]` has a predicate.
    bare = re.sub(r'"[^"]*"|`[^`]*`', "", field)
    if re.search(r"[^\w.]", bare):
        raise _error(origin, "a field like this one needs a name of its own", change="add one: PATH FIELD | NAME ;")
    output = normalised(field)
    if not output:
        raise _error(origin, "no name can be made of the field", change="add one: PATH FIELD | NAME ;")
    return output.upper(), True, True, output


def _path(path: str, origin: Origin) -> tuple[str, tuple[tuple[str, str], ...]]:
    # It is the path of the HTTP API, data/ of KV v2 included, as one sees it in a policy.
    path, question, query = path.lstrip("/").partition("?")
    options = [("raw", "true")]
    if question:
        version = re.fullmatch(r"version=([0-9]{1,9})", query)
        if not version:
            raise _error(origin, "the only thing that may follow a ? in a path is version=NUMBER")
        options.append(("version", version[1]))
    if not path or any(part in ("", ".", "..") for part in path.rstrip("/").split("/")):
        raise _error(origin, "is not the path of a secret")
    return path, tuple(options)


def _counted(words: int) -> str:
    return "is one word" if words == 1 else "is nothing" if words == 0 else f"are {words} words"


def _missing_semicolon(request: str) -> str:
    return "a ; is missing at the end of a line" if "\n" in request else ""


def _error(origin: Origin, problem: str, cause: str = "", change: str = f"write: {_EXAMPLE}") -> UsageError:
    return UsageError(f"{origin}: {problem}", cause=cause, change=change, docs="secrets-lines")
