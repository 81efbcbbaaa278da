"""Values to hide that are known already, and were not leased now: named variables, a file, the state of the job.

Whatever is named must be there: a value that is silently missing would look like a clean log.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from keylease.errors import UsageError
from keylease.masking.forms import is_maskable
from keylease.model import Env, Seal

MAX_FILE = 16 * 1024 * 1024
"""Bytes of a secrets file."""

_ASSIGNMENT = re.compile(rb"[ \t]*(?:export[ \t]+)?[A-Z_][A-Z0-9_]*=[^=]")

_NAMED = re.compile(rb"""[ \t]*[A-Za-z_][\w.-]*(?:[ \t]*=|:[ \t])[ \t]*(["']?)(?P<value>[^=].*)\1[ \t]*""")


def seal_variables(names: Iterable[str], env: Env, seal: Seal, option: str) -> None:
    """Hide the values of these variables. Raises :class:`UsageError` if one is not set, empty, or a file's path.

    A name that is not there is never repeated: ``--env "$PASSWORD"`` has the value in its place.
    """
    for number, name in enumerate(dict.fromkeys(names), 1):
        value = env.get(name)
        if value is None:
            raise UsageError(
                f"{option}: no variable has the name given{f' (no. {number})' if number > 1 else ''}",
                cause="it is not set here, or what was given is its value: write its name, without a $",
                change=f"{option} NAME, and set NAME for this command",
                docs="redact",
            )
        if not value.strip():
            raise UsageError(
                f"{option}: {name} is empty",
                cause="nothing would be hidden for it; the log would look clean and not be",
                change=f"set {name} for this command, or leave out `{option} {name}`",
                docs="redact",
            )
        if value.startswith("/") and "\n" not in value and os.path.isfile(value):
            raise UsageError(
                f"{option}: {name} holds the path of a file, and nothing in that file would be hidden",
                cause="it is a variable of type file (GitLab), or a secret file (Jenkins)",
                change=f'keylease redact --secrets-file "${name}" …, which takes one value a line, or JSON; a key: '
                f"jq -Rs '[.]' \"${name}\" first",
                docs="redact",
            )
        seal(value, name)


def seal_file(path: str, seal: Seal, warn: Callable[[str], None]) -> None:
    """Hide the values in a file: a JSON array or object of strings, or one value a line.

    A text that begins with ``[`` or ``{`` is JSON. Lines are taken as they are, but for empty ones; of one that may be
    a name with a value (``password=…``), the value is hidden too. Raises :class:`UsageError`, without any of the text,
    if there is no value in it or if it is something else, of which less would be hidden than meant.
    """
    data = _read(path, warn)
    count = 0
    for label, value in _json(path, data) if data.lstrip()[:1] in (b"[", b"{") else _lines(path, data):
        if not value.strip():
            raise _wrong(path, f"{label} is empty")
        seal(value, f"{path}: {label}")
        count += 1
    if not count:
        raise _wrong(path, "there is no value in it")


def seal_state(path: str, seal: Seal) -> None:
    """Hide the tokens that ``keylease lease`` has noted for revoking; the values it read are not in there.

    Raises :class:`UsageError` if there is no such file, no token in it, or if it is damaged or not private.
    """
    from keylease.outputs.state import StateFile

    state = StateFile(path).load(seal)
    if not any(item.token is not None for item in state.revocations):
        raise UsageError(
            f"--state: {path} is missing or holds no token",
            cause="`keylease lease` was not run before in this job, or `keylease revoke` has ended its leases",
            change="leave it out, or name the file that `keylease lease --state FILE` wrote",
            docs="redact",
        )


def _read(path: str, warn: Callable[[str], None]) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            # `<(command)` of a shell is a pipe, and nobody else's.
            if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077:
                warn(f"{path}: others may read these secrets (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600")
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _wrong(path, f"it can't be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise _wrong(path, f"it has more than {MAX_FILE} bytes")
    return data.removeprefix(b"\xef\xbb\xbf")


def _lines(path: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    variables = [line for _, line in lines if not line.lstrip().startswith(b"#")]
    if variables and all(map(_ASSIGNMENT.match, variables)):
        raise _wrong(path, "every line is NAME=value, and would be hidden as a whole only")
    if any(b"-----BEGIN " in line and b"-----END " not in line for _, line in lines):
        raise _wrong(path, "a PEM text has several lines, which would be taken for one value each")
    if b"\0" in data:
        raise _wrong(path, "it is UTF-16 or binary, not UTF-8 text")
    for number, line in lines:
        yield f"line {number}", line
        named = _NAMED.fullmatch(line)
        if named and is_maskable(named["value"].decode("utf-8", "replace")):
            yield f"line {number}", named["value"]


class _Pairs(list[tuple[str, object]]):
    """A JSON object with all that is in it: a name can be there twice."""


def _json(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    parsed = None
    # Raised outside the handler: the decoder's exception holds the whole text, and chaining would keep it.
    with suppress(ValueError, RecursionError):
        parsed = json.loads(data, object_pairs_hook=_Pairs)
    if isinstance(parsed, _Pairs):
        items = [(f'"{key}"', value) for key, value in parsed]
    elif isinstance(parsed, list):
        items = [(f"item {number}", value) for number, value in enumerate(parsed, 1)]
    else:
        raise _wrong(path, "it begins like JSON but is none")
    for label, value in items:
        if not isinstance(value, str):
            raise _wrong(path, f"{label} is not a string")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise _wrong(path, f"{label} has half a character (a lone surrogate), which no log can hold")
        yield label, value


def _wrong(path: str, what: str) -> UsageError:
    return UsageError(
        f"--secrets-file: {path}: {what}",
        cause="it holds one value a line, or a JSON array or object of strings",
        change="""write it as JSON, such as `keylease lease --format json` does: {"NAME": "value"} or ["value"]""",
        docs="redact",
    )
