"""How the Actions runner reads what a step wrote: environment files and workflow commands.

Written from the behaviour of actions/runner (FileCommandManager.cs: EnvFileKeyValuePairs, SetEnvFileCommand,
CreateStepSummaryCommand; ActionCommand.cs: TryParseV2 and TryParse; ActionCommandManager.cs: AddMaskCommandExtension)
for Linux. It shares no code with Keylease, so the two can disagree.

It can't show: Windows' CRLF rule, what the service does with values afterwards (limits of outputs, skipped masked
outputs), the runner's value encoders (base64, JSON, URI, XML forms of a mask), or a runner of another version.
"""

from dataclasses import dataclass

BLOCKED = {"NODE_OPTIONS"}
COMMANDS = {
    "add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher",
    "save-state", "set-env", "set-output", "stop-commands", "warning",
}  # fmt: skip


class RunnerError(Exception):
    """The runner would fail the step with this message."""


def key_values(data: bytes) -> list[tuple[str, str]]:
    """The pairs of an environment file, in order. Raises :class:`RunnerError`."""
    text = data.decode("utf-8-sig", "replace")  # File.ReadAllText
    pairs: list[tuple[str, str]] = []
    index = 0
    while True:
        line, _, index = _read_line(text, index)
        if line is None:
            return pairs
        if line == "":
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, _, value = line.partition("=")
            pairs.append((name, value))
        elif heredoc >= 0:
            name, _, delimiter = line.partition("<<")
            if not name or not delimiter:
                raise RunnerError("Name must not be empty and delimiter must not be empty")
            start = end = index
            while True:
                inner, newline, index = _read_line(text, index)
                if inner == delimiter:
                    break
                if inner is None:
                    raise RunnerError("Matching delimiter not found")
                if newline is None:
                    raise RunnerError("EOF marker missing new line")
                end = index - len(newline)
            pairs.append((name, text[start:end] if end > start else ""))
        else:
            raise RunnerError("Invalid format")


def _read_line(text: str, index: int) -> tuple[str | None, str | None, int]:
    if index >= len(text):
        return None, None, index
    at = text.find("\n", index)
    if at < 0:
        return text[index:], None, len(text)
    return text[index:at], "\n", at + 1


def environment(data: bytes) -> dict[str, str]:
    """What GITHUB_ENV's content sets for later steps; blocked names are errors."""
    pairs = key_values(data)
    for name, _ in pairs:
        if name.upper() in BLOCKED:
            raise RunnerError(f"Can't store {name} output parameter using '$GITHUB_ENV' command.")
    return dict(pairs)


@dataclass(frozen=True)
class Command:
    """A workflow command found in a line of output."""

    name: str
    properties: dict[str, str]
    data: str


def command(line: str) -> Command | None:
    """The command that the runner finds in one line of output, or None."""
    return _version_2(line) or _version_1(line)


def _version_2(line: str) -> Command | None:
    line = line.lstrip()
    if not line.startswith("::"):
        return None
    end = line.find("::", 2)
    if end < 0:
        return None
    name, _, rest = line[2:end].partition(" ")
    if name.lower() not in COMMANDS:
        return None
    properties = {}
    for pair in rest.strip().split(","):
        key, found, value = pair.partition("=")
        if found and key and value:
            properties[key] = _undo(value, {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"})
    return Command(name.lower(), properties, _undo(line[end + 2 :], {"%0D": "\r", "%0A": "\n", "%25": "%"}))


def _version_1(line: str) -> Command | None:
    start = line.find("##[")
    end = line.find("]", start)
    if start < 0 or end < 0:
        return None
    name = line[start + 3 : end].partition(" ")[0].lower()
    if name not in COMMANDS:
        return None
    return Command(name, {}, line[end + 1 :])


def _undo(text: str, mappings: dict[str, str]) -> str:
    for escaped, plain in mappings.items():  # one after the other, as the runner does
        text = text.replace(escaped, plain)
    return text


def output_lines(data: bytes) -> list[str]:
    """A step's output as the runner cuts it into lines (StreamReader.ReadLine: CR, LF and CRLF end a line)."""
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def masks(data: bytes) -> list[str]:
    """All values that the runner masks after reading this output, in order."""
    found: list[str] = []
    for line in output_lines(data):
        parsed = command(line)
        if parsed and parsed.name == "add-mask" and parsed.data.strip():
            parts = parsed.data.replace("\r", "\n").split("\n")
            found += [parsed.data, *(part.strip() for part in parts if part.strip())]
    return list(dict.fromkeys(found))


def mask(log: str, values: list[str]) -> str:
    """A line of the log with all masks applied (SecretMasker.cs: overlapping and touching hits are merged)."""
    hidden = [False] * len(log)
    for value in values:
        at = log.find(value)
        while value and at >= 0:
            hidden[at : at + len(value)] = [True] * len(value)
            at = log.find(value, at + 1)
    out = ""
    for at, character in enumerate(log):
        if not hidden[at]:
            out += character
        elif at == 0 or not hidden[at - 1]:
            out += "***"
    return out
