"""Which forms of a value the GitHub runner hides by itself once it is told the value.

From actions/runner: HostContext.cs registers the encoders, ValueEncoders.cs defines them, SecretMasker.cs searches
each line of the log for the results. What it derives and does not match in practice (base64 whose last characters
depend on what follows) is told to it.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from keylease.masking.encodings import escape
from keylease.masking.forms import Form


def unknown_to_runner(told: Sequence[str], forms: Iterable[Form]) -> list[str]:
    """The forms that the runner would show, or show a part of, although it is told the texts of `told`."""
    known = {derived for text in told for derived in _derived(text)}
    texts = dict.fromkeys(form.pattern.decode("utf-8") for form in forms)
    return [text for text in texts if text not in known and not _is_covered(text, known)]


def _derived(text: str) -> Iterator[str]:
    data = text.encode("utf-8")
    yield text
    for skipped in range(min(3, len(data))):
        yield base64.b64encode(data[skipped:]).decode("ascii")
    yield text.replace('"', '\\"')
    yield text.replace("'", "''")
    yield _json(text)
    yield quote(text, safe="")
    yield escape(text).replace('"', "&quot;").replace("'", "&apos;")
    if len(text) > 8 and text[0] == text[-1] == '"':
        yield text[1:-1]


def _json(text: str) -> str:
    """Newtonsoft's: as Python's, and the three line ends that JavaScript knows besides."""
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    return "".join(f"\\u{ord(c):04x}" if c in "\x85\u2028\u2029" else c for c in written)


def _is_covered(text: str, known: Iterable[str]) -> bool:
    """Whether every character lies within an occurrence of one of `known`."""
    found = [(at, at + len(each)) for each in known for at in _places(each, text)]
    reached = 0
    for start, end in sorted(found):
        if start > reached:
            return False
        reached = max(reached, end)
    return reached >= len(text)


def _places(what: str, text: str) -> Iterator[int]:
    at = text.find(what)
    while at >= 0:
        yield at
        at = text.find(what, at + 1)
