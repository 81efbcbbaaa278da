"""How the Actions runner hides what `add-mask` told it.

Written from the behaviour of actions/runner (HostContext.cs: which encoders; ValueEncoders.cs; SecretMasker.cs;
ValueSecret.cs; ActionCommandManager.cs: AddMaskCommandExtension; for JSON Newtonsoft.Json's JsonConvert.ToString, for
XML SecurityElement.Escape, for URLs Uri.EscapeDataString). It shares no code with Keylease.

It can't show: the runner's regular expressions (mask hints of the server), its own log files, or another version of it.
"""

import base64
import re

XML = {"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "&": "&amp;"}
JSON = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f", "\b": "\\b", "\\": "\\\\", '"': '\\"',
        "\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}  # fmt: skip
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


class RunnerMasker:
    """The job's masker: told values, hides them and what it derives of them in one line at a time."""

    def __init__(self) -> None:
        self.values: set[str] = set()
        """All that a line is searched for: one IndexOf scan each."""

    def add_mask(self, data: str) -> None:
        """What the command does: the value, and each line of it trimmed."""
        if data.strip():
            self._add(data)
            for line in re.split("[\r\n]", data):
                self._add(line.strip())

    def _add(self, value: str) -> None:
        if value:
            self.values |= {value, *encoded(value)} - {""}

    def mask(self, line: str) -> str:
        """A line as the log shows it: overlapping and touching hits become one."""
        hits = sorted((at, at + len(value)) for value in self.values for at in _all(line, value))
        out, shown = [], -1
        last = 0
        for start, end in hits:
            if start > shown:
                out += [line[last:start], "***"]
            shown = max(shown, end)
            last = shown
        return "".join([*out, line[last:]])


def _all(line: str, value: str) -> list[int]:
    found = []
    at = line.find(value)
    while at >= 0:
        found.append(at)
        at = line.find(value, at + 1)
    return found


def encoded(value: str) -> list[str]:
    """The eleven encoders' results for a value."""
    data = value.encode("utf-8", "replace")
    return [
        *(_base64(data[shift:] if len(data) > shift else data) for shift in (0, 1, 2)),
        value.replace('"', '\\"'),
        value.replace("'", "''"),
        "".join(JSON.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 32 else c) for c in value),
        "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in data),
        "".join(XML.get(c, c) for c in value),
        value[1:-1] if len(value) > 8 and value[0] == value[-1] == '"' else "",
        *_powershell(value),
    ]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")  # with its padding


def _powershell(value: str) -> tuple[str, str]:
    """Before and after an ampersand, where PowerShell's error messages put their colours."""
    if "&" not in value:
        return "", ""
    if "&+" in value:
        cut = value.index("&+") + 2
        before, after = value[:cut], value[cut + 1 :]
    else:
        cut = value.rindex("&") + 1
        before, after = value[:cut], value[cut:]
    return (before if len(before) >= 6 else ""), (after if len(after) >= 6 else "")
